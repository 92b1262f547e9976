import { answer, type Connection, fields, frame, request } from './protocol.ts';

/** Sends a signal to every descendant of a command; how many were signalled. */
export async function kill(connection: Connection, signal: number, cause = 1): Promise<number> {
  await connection.send(frame(request.kill, fields([15, signal], [16, cause])));
  return (await connection.expect(answer.ok, [answer.output, answer.exit])).number(44);
}
