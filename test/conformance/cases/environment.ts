import { expect } from 'vitest';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { run } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

const OWN_PATH = '/opt/own tools/bin:/usr/local/bin:/usr/bin:/bin';
const DEFAULTS = 'echo $LANG $PYTHONUNBUFFERED $PIP_BREAK_SYSTEM_PACKAGES';

/** The initial environment of programs. */
export function environmentCases(get: () => Subject, extent: Extent): void {
  describeCases('environment', extent, (it) => {
    it.for([
      ['bash', '-c'],
      ['bash', '-lc'],
      ['bash', '-lic'],
      ['sh', '-lc'],
    ] as const)('keeps the given PATH in %s %s, with and without sudo', async ([shell, flag], context) => {
      const { engine, create } = get();
      if (engine.name === 'vercel') return context.skip('login files are the platform’s own');
      const { sandboxId } = await create({ env: { PATH: OWN_PATH } });
      const path = async (sudo: boolean, env: Record<string, string>) =>
        (await run(get(), shell, [flag, 'echo "$PATH"'], { sandboxId, sudo, env })).stdout.trim();
      for (const sudo of [false, true]) {
        expect(await path(sudo, {})).toBe(OWN_PATH);
        expect(await path(sudo, { PATH: `/of/call:${OWN_PATH}` })).toBe(`/of/call:${OWN_PATH}`);
        // A value that contains the name of a variable must not be mistaken for that variable.
        expect(await path(sudo, { A: '1\nPATH=/wrong' })).toBe(OWN_PATH);
      }
      await engine.forget(sandboxId, timeoutSignal());
    });

    it('finds programs in ~/.local/bin in every shell, with and without sudo', async (context) => {
      if (get().engine.name === 'vercel') return context.skip('the platform decides');
      const make =
        'mkdir -p ~/.local/bin && printf "#!/bin/sh\nid -un\n" > ~/.local/bin/$0 && chmod +x ~/.local/bin/$0';
      for (const sudo of [false, true])
        expect(await run(get(), 'sh', ['-c', make, sudo ? 'of-root' : 'of-user'], { sudo })).toMatchObject({
          exitCode: 0,
        });
      const found = async (words: [string, ...string[]], sudo: boolean) =>
        (await run(get(), words[0], words.slice(1), { sudo })).stdout.trim();
      // With a single id on the host, the user is root inside.
      const user = await found(['id', '-un'], false);
      for (const shell of [[], ['sh', '-c'], ['bash', '-lc'], ['sh', '-lc']]) {
        const words = (program: string): [string, ...string[]] => {
          const [first = program, ...rest] = [...shell, program];
          return [first, ...rest];
        };
        expect(await found(words('of-user'), false)).toBe(user);
        expect(await found(words('of-user'), true)).toBe('root');
        expect(await found(words('of-root'), true)).toBe('root');
      }
    });

    it('has suitable defaults, which the caller’s values override', async () => {
      expect((await run(get(), 'sh', ['-c', DEFAULTS])).stdout).toBe('C.UTF-8 1 1\n');
      const env = { LANG: 'C', PYTHONUNBUFFERED: '', PIP_BREAK_SYSTEM_PACKAGES: '0' };
      expect((await run(get(), 'sh', ['-c', DEFAULTS], { env })).stdout).toBe('C 0\n');
      const commit = 'git init -q own && cd own && git commit -q --allow-empty -m x && git log --format=%ae';
      expect((await run(get(), 'sh', ['-c', commit])).stdout).toBe('vercel-sandbox@sandbox.invalid\n');
    });

    it('names the caller of sudo', async (context) => {
      if (get().engine.name === 'vercel') return context.skip('the platform’s own sudo sets these');
      const script = 'echo $HOME $USER $LOGNAME $SUDO_UID $SUDO_GID $SUDO_USER';
      const said = async (sudo: boolean) => (await run(get(), 'sh', ['-c', script], { sudo })).stdout.trim();
      expect(await said(false)).toBe('/home/vercel-sandbox vercel-sandbox vercel-sandbox');
      expect(await said(true)).toBe('/root root root 1000 1000 vercel-sandbox');
    });

    it('lets git with sudo work in the user’s repository', async (context) => {
      const { engine } = get();
      if (engine.name === 'vercel') return context.skip('the platform’s own sudo sets these');
      await run(get(), 'git', ['init', '-q', 'of-user']);
      const status = await run(get(), 'git', ['-C', 'of-user', 'status', '--short'], { sudo: true });
      expect(status).toMatchObject({ exitCode: 0, stderr: '' });
    });

    it('keeps the sandbox’s CA in the system bundle after update-ca-certificates', async (context) => {
      const { engine, create } = get();
      if (engine.name === 'vercel') return context.skip('the CA bundle is part of the platform’s image');
      const { sandboxId } = await create();
      const root = (script: string) => run(get(), 'sh', ['-c', script], { sandboxId, sudo: true });
      if ((await root('command -v openssl && test -w /etc/ssl/certs')).exitCode !== 0)
        return context.skip('needs openssl and /etc/ssl/certs on this machine');
      // What that program does with the directory; running all of it takes a minute on a busy machine.
      expect(await root('openssl rehash /etc/ssl/certs')).toMatchObject({ exitCode: 0 });
      const verify = 'openssl verify -no-CAfile -CApath /etc/ssl/certs /run/sandbox-mcp/ca.crt';
      expect((await root(verify)).stdout).toBe('/run/sandbox-mcp/ca.crt: OK\n');
      const same = 'cmp /etc/ssl/certs/sandbox-mcp.pem /run/sandbox-mcp/ca.crt';
      expect(await root(same)).toMatchObject({ exitCode: 0 });
      // The last of its steps, after it has replaced the bundle.
      const bundle = '/etc/ssl/certs/ca-certificates.crt';
      const hook = `[ ! -e ${bundle} ] || { rm ${bundle} && : > ${bundle} && /etc/ca-certificates/update.d/sandbox-mcp && cmp ${bundle} /run/sandbox-mcp/ca.crt; }`;
      expect(await root(hook)).toMatchObject({ exitCode: 0, stderr: '' });
      await engine.forget(sandboxId, timeoutSignal());
    });

    it('gives browsers policies that make them trust the CA', async (context) => {
      if (get().engine.name === 'vercel') return context.skip('the platform’s own image decides');
      const script = `cat /etc/chromium/policies/managed/sandbox-mcp.json /etc/firefox/policies/policies.json
        sed 1d /run/sandbox-mcp/ca.crt | head -n 1`;
      const [chromium = '', firefox = '', line] = (await run(get(), 'sh', ['-c', script])).stdout.split('\n');
      expect(JSON.parse(chromium)).toEqual({ CACertificates: [expect.stringContaining(line ?? 'no line')] });
      expect(firefox).toContain('/run/sandbox-mcp/ca.crt');
    });

    it('includes all CAs of the system in the bundle of every program', async (context) => {
      if (get().engine.name === 'vercel')
        return context.skip('the CA bundle is part of the platform’s image');
      const script = `for name in NODE_EXTRA_CA_CERTS SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO; do
        eval file=\\$$name; grep -c BEGIN.CERTIFICATE $file; done; grep -c BEGIN.CERTIFICATE /run/sandbox-mcp/ca-bundle.crt`;
      const counts = (await run(get(), 'sh', ['-c', script])).stdout.trim().split('\n').map(Number);
      expect(counts).toHaveLength(6);
      expect(new Set(counts).size).toBe(1);
      expect(counts[0]).toBeGreaterThan(1);
    });
  });
}
