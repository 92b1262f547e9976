import { describe, expect, it } from 'vitest';
import { runVerb } from '../support/run-verb.ts';
import { startServer } from '../support/server.ts';

/** Makes a program believe that it runs on another system. */
function pretending(platform: string): Record<string, string> {
  const script = `Object.defineProperty(process, 'platform', { value: '${platform}' })`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` };
}

describe.each(['darwin', 'win32'])('on %s', (platform) => {
  it('the server starts and refuses to create a sandbox, with the next step', async () => {
    const server = await startServer({ env: pretending(platform) });
    try {
      const { isError, text } = await server.call('sandbox_create');
      expect(isError).toBe(true);
      expect(text).toContain('unavailable');
      expect(text).toContain(`needs Linux; this is ${platform}`);
      expect(text).toContain('--engine');
    } finally {
      await server.close();
    }
  });

  it('setup without docker refuses an entry that could not work, with the next step', async () => {
    const env = { ...pretending(platform), PATH: '/nonexistent' };
    const { code, out, err } = await runVerb(['setup', 'cursor', '--yes'], env);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain(`The local engine needs Linux; this is ${platform}, and neither docker nor podman`);
    expect(err).toContain('Docker Desktop');
    expect(err).toContain('--engine vercel');
  });

  it('doctor names the other engines', async () => {
    const { code, out } = await runVerb(['doctor'], pretending(platform));
    expect(code).toBe(1);
    expect(out).toContain(
      `oci: does not work here\n  error    The oci engine needs Linux; this is ${platform}\n`,
    );
    expect(out).toContain(`On ${platform}, use --engine vercel.`);
  });
});
