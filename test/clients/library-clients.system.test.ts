/** The job of `npm run clients`, through the client that is a development dependency. */
import { describe, expect, it } from 'vitest';
import { ENDINGS } from './endings.ts';
import { runLibraryClient } from './run-library-client.ts';

const CLIENTS = [['the MCP SDK, version 1', 'sdk.mjs']] as const;

describe('a program with a client library', () => {
  it.each(CLIENTS)(
    'gets the same answers exactly once, and leaves nothing however it ends: %s',
    async (_, driver) => {
      const setup = { folder: import.meta.dirname, driver, node: process.execPath };
      const report = await runLibraryClient(setup);
      expect(report.problems).toEqual([]);
      expect(report.image).toBe('image');
      expect(Object.fromEntries(report.endings)).toEqual(
        Object.fromEntries(ENDINGS.map((ending) => [ending, []])),
      );
    },
  );
});
