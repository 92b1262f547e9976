/** Credentials of a git source reach only their server: not the sandbox, results or logs. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type NameServer, openNameServer } from '../../support/name-server.ts';
import { needs } from '../../support/needs.ts';
import { type RunningServer, startServer } from '../../support/server.ts';
import {
  AUTHORIZATION,
  HOST_ADDRESS,
  openSourceServer,
  type SourceServer,
} from '../../support/source-server.ts';

const ADDRESS = HOST_ADDRESS ?? '';
const PASSWORD = 'swordfish';
/** What must not appear anywhere: the password, and its encoded form. */
const SENSITIVE = [PASSWORD, AUTHORIZATION.slice('Basic '.length)];

function certificateFor(name: string, dir: string): { key: string; cert: string; path: string } {
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const request = [
    'req',
    '-x509',
    '-nodes',
    '-days',
    '2',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
  ];
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  execFileSync('openssl', [...request, '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' });
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8'), path: cert };
}

describe(
  'credentials of a git source',
  needs('a non-loopback address of this host', HOST_ADDRESS !== null),
  () => {
    const dir = mkdtempSync(join(tmpdir(), 'cert-'));
    let plain: SourceServer;
    let secure: SourceServer;
    let names: NameServer;
    let server: RunningServer;

    beforeAll(async () => {
      const certificate = certificateFor('git.test', dir);
      plain = await openSourceServer(ADDRESS);
      secure = await openSourceServer(ADDRESS, certificate);
      names = await openNameServer({ 'git.test': ADDRESS, 'other.test': ADDRESS });
      const allow = [plain, secure].flatMap(({ range }) => ['--egress-allow', range]);
      server = await startServer({
        args: [...allow, '--egress-dns', names.address, '--log-level', 'debug'],
        env: {
          NODE_EXTRA_CA_CERTS: certificate.path,
          SANDBOX_MCP_SECRET_TOKEN: PASSWORD,
          SANDBOX_MCP_SECRET_TOKEN_DOMAINS: 'git.test',
        },
      });
    });
    afterAll(async () => {
      await server?.close();
      await names?.close();
      await plain?.close();
      await secure?.close();
      rmSync(dir, { recursive: true });
    });

    it.each([
      ['https, as a secret', () => `https://git.test:${secure.port}`, () => secure, `\${secret:TOKEN}`],
      ['http, in plain text', () => `http://git.test:${plain.port}`, () => plain, PASSWORD],
    ])('work over %s', async (_title, base, sources, password) => {
      const url = `${base()}/private.git`;
      const source = { type: 'git', url, username: 'robot', password };
      const made = await server.call('sandbox_create', { source });
      expect(made.text).not.toContain('Error');
      expect(made.structured).toMatchObject({ status: 'running' });
      const { sandbox_id } = made.structured;
      expect(sources().seen).toContain(`GET /private.git/info/refs ${AUTHORIZATION}`);

      // Everything that the sandbox has written, its logs and its records are below this directory.
      const needles = SENSITIVE.flatMap((text) => ['-e', text]);
      const found = spawnSync('grep', ['-rlaF', ...needles, server.stateDir], { encoding: 'utf8' });
      expect(found.stdout).toBe('');
      const script = [
        'cat file.txt .git/config; env',
        'for file in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do tr "\\0" "\\n" <"$file"; done 2>/dev/null',
        // They are no longer added.
        'GIT_TERMINAL_PROMPT=0 git fetch origin; echo fetch $?',
      ].join('; ');
      const run = { cmd: 'bash', args: ['-c', script], sandbox_id };
      const { structured } = await server.call('sandbox_run_command', run);
      expect(structured['stdout']).toMatch(/^three\n/);
      expect(structured['stdout']).toMatch(/fetch 128\n$/);
      for (const text of SENSITIVE) {
        expect(server.stderr()).not.toContain(text);
        expect(made.text).not.toContain(text);
        expect(structured['stdout']).not.toContain(text);
      }
      await server.call('sandbox_stop', { sandbox_id, blocking: true });
    });

    it('of the operator are sent to their domains only', async () => {
      const before = plain.seen.length;
      const source = {
        type: 'git',
        url: `http://other.test:${plain.port}/private.git`,
        username: 'robot',
        password: `\${secret:TOKEN}`,
      };
      const refused = await server.call('sandbox_create', { source });
      expect(refused.text).toContain('Error (permission)');
      expect(refused.text).toContain('other.test');
      expect(plain.seen.length).toBe(before);
    });

    it('do not follow a redirect to another host', async () => {
      const otherHost = `http://other.test:${plain.port}/private.git/info/refs?service=git-upload-pack`;
      plain.on(
        '/moved.git/info/refs',
        (_request, response) => void response.writeHead(302, { location: otherHost }).end(),
      );
      const before = plain.seen.length;
      const source = {
        type: 'git',
        url: `http://git.test:${plain.port}/moved.git`,
        username: 'robot',
        password: PASSWORD,
      };
      const refused = await server.call('sandbox_create', { source });
      expect(refused.text).toContain('Error (auth)');
      expect(plain.seen.slice(before)).toEqual([
        `GET /moved.git/info/refs ${AUTHORIZATION}`,
        'GET /private.git/info/refs',
      ]);
    });

    it('are masked if a server echoes them', async () => {
      plain.on('/echo.git/info/refs', (request, response) => {
        response
          .writeHead(302, { location: `http://127.0.0.1:1/${request.headers.authorization}/${PASSWORD}` })
          .end();
      });
      const source = {
        type: 'git',
        url: `http://git.test:${plain.port}/echo.git`,
        username: 'robot',
        password: PASSWORD,
      };
      const refused = await server.call('sandbox_create', { source });
      expect(refused.isError).toBe(true);
      expect(refused.text).toContain('git said:');
      for (const text of SENSITIVE) expect(refused.text).not.toContain(text);
    });

    it('are rejected with a readable error when wrong', async () => {
      const source = {
        type: 'git',
        url: `https://git.test:${secure.port}/private.git`,
        username: 'robot',
        password: 'wrong-one',
      };
      const refused = await server.call('sandbox_create', { source });
      expect(refused.text).toContain('Error (auth)');
      expect(refused.text).toContain('rejected the credentials');
      expect(refused.text).not.toContain('wrong-one');
    });
  },
);
