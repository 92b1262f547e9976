/** The faults of the stand-in happen as described: before the request takes effect, or after. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startVercelApi, type VercelApi } from '../../../fakes/vercel/index.ts';
import { actsBefore, FAULT_KINDS, type FaultKind } from '../../../fakes/vercel/wire/faults.ts';

const created = z.object({ session: z.object({ id: z.string() }) });
const answered = z.object({ command: z.object({ id: z.string() }) });

describe('a fault of the stand-in', () => {
  let api: VercelApi;
  let sessionId: string;

  beforeAll(async () => {
    api = await startVercelApi();
    const response = await post('/v3/sandboxes', { projectId: api.credentials.projectId });
    sessionId = created.parse(await response.json()).session.id;
  });

  afterAll(async () => {
    await api.close();
    expect(api.violations).toEqual([]);
  });

  function post(path: string, body: object, signal: AbortSignal | null = null): Promise<Response> {
    const { token, teamId } = api.credentials;
    return fetch(`${api.url}${path}?teamId=${teamId}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      signal,
    });
  }

  /** What a client sees: a status, a valid or invalid response, or none at all. */
  async function seen(body: object, timeoutMs = 30_000): Promise<string> {
    try {
      const path = `/v2/sandboxes/sessions/${sessionId}/cmd`;
      const response = await post(path, body, AbortSignal.timeout(timeoutMs));
      const text = await response.text();
      if (!response.ok) return String(response.status);
      return response.headers.get('content-type')?.startsWith('application/json') && isAnswer(text)
        ? 'answered'
        : 'unreadable';
    } catch (error) {
      return error instanceof Error && error.name === 'TimeoutError' ? 'silent' : 'broken';
    }
  }

  function isAnswer(text: string): boolean {
    try {
      return answered.safeParse(JSON.parse(text)).success;
    } catch {
      return false;
    }
  }

  const SEEN: Partial<Record<FaultKind, string>> = {
    reset: 'broken',
    hang: 'silent',
    lost: 'broken',
    'lost-502': '502',
    'hang-after': 'silent',
    malformed: 'unreadable',
    half: 'broken',
    'hang-mid-body': 'silent',
    'wrong-type': 'unreadable',
    invalid: 'unreadable',
  };

  it.each(FAULT_KINDS.map((kind) => [kind]))('%s is what the client sees, once', async (kind) => {
    const before = api.deeds.commands.length;
    api.faults.add({ kind, operation: 'command.run', times: 1, retryAfter: 3 });
    const wanted = SEEN[kind] ?? String(kind);
    // Long enough for the request to have taken effect.
    expect(await seen({ command: 'true' }, wanted === 'silent' ? 2_000 : undefined)).toBe(wanted);
    expect(api.deeds.commands.length - before).toBe(actsBefore(kind) ? 0 : 1);
    expect(await seen({ command: 'true' })).toBe('answered');
    expect(api.calls.slice(-2).map(({ fault }) => fault)).toEqual([String(kind), null]);
  });

  it('occurs after the given number of successful calls', async () => {
    api.faults.add({ kind: 500, operation: 'command.run', after: 1, times: 1 });
    const answers = [];
    for (let call = 0; call < 3; call += 1) answers.push(await seen({ command: 'true' }));
    expect(answers).toEqual(['answered', '500', 'answered']);
  });

  it('cuts a stream after the given number of lines', async () => {
    api.faults.add({ kind: 'half', operation: 'command.run', times: 1, lines: 2 });
    const body = {
      command: 'sh',
      args: ['-c', 'echo one; sleep 0.1; echo two; sleep 0.1'],
      wait: true,
      logs: true,
    };
    const response = await post(`/v2/sandboxes/sessions/${sessionId}/cmd`, body);
    let text = '';
    const reading = async (): Promise<void> => {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
    };
    await expect(reading()).rejects.toThrow();
    const lines = text.split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[1]).toBe('{"stream":"stdout","data":"one\\n"}');
    expect(lines[2]).toMatch(/^\{"stream":"std/);
  });
});
