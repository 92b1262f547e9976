/** The small programs of test/fixtures, in a sandbox. */
import { fileURLToPath } from 'node:url';
import type { RunningServer } from './server.ts';

const FOLDER = fileURLToPath(new URL('../fixtures', import.meta.url));

/** For `startServer`: allows uploading the fixtures. */
export const ALLOW_FIXTURES = ['--allow-dir', FOLDER];

/** Creates a sandbox with the fixtures in its working directory. */
export async function createWithFixtures(
  server: RunningServer,
  args: Record<string, unknown> = {},
): Promise<string> {
  const created = await server.call('sandbox_create', args);
  const uploaded = await server.call('sandbox_upload_file', { local_path: FOLDER, remote_path: '.' });
  if (created.isError || uploaded.isError) throw new Error(created.text + uploaded.text);
  return String(created.structured['sandbox_id']);
}
