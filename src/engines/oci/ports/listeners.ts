import type { Listener } from '../../engine.ts';
import { AgentConnection } from '../protocol/agent-connection.ts';
import { FRAME } from '../protocol/frames.ts';
import { malformedRecord, RecordReader } from '../protocol/record-reader.ts';

const MAX_PORT = 65_535;
/** The numbers of a record, and its program's name with a NUL. */
const MAX_RECORD = 8 + 32;

/** The ports that programs inside listen on, each once. */
export async function readListeners(agentSocket: string, signal: AbortSignal): Promise<Listener[]> {
  const connection = await AgentConnection.open(agentSocket, signal);
  try {
    await connection.send(FRAME.LISTENERS);
    const reader = new RecordReader(connection);
    const found = new Map<number, Listener>();
    for (;;) {
      await reader.ensure(MAX_RECORD);
      if (reader.available === 0) break;
      const port = reader.u32();
      const pid = reader.u32();
      const program = reader.text('utf8');
      if (port === 0 || port > MAX_PORT) throw malformedRecord();
      const listener = { port, pid: pid || null, program: program || null };
      // One that listens on both IPv4 and IPv6 is reported twice.
      if (found.get(port)?.program == null) found.set(port, listener);
    }
    return [...found.values()].sort((a, b) => a.port - b.port);
  } finally {
    connection.close();
  }
}
