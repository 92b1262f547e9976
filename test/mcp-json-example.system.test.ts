import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { TOOLS } from '../tools/index.ts';

const ROOT = join(import.meta.dirname, '..');
/** Placeholders that users replace with their own paths. */
const CHECKOUT = '/path/to/sandbox-mcp';
const PROJECTS = '/home/me/projects';

const entry = z.strictObject({
  command: z.string(),
  args: z.array(z.string()),
  env: z.record(z.string(), z.string()).default({}),
});
const { mcpServers } = z
  .strictObject({ mcpServers: z.record(z.string(), entry) })
  .parse(JSON.parse(readFileSync(join(ROOT, 'mcp.json.example'), 'utf8')));

let state = '';

beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'example-'));
});

afterEach(() => {
  rmSync(state, { recursive: true });
});

describe('mcp.json.example', () => {
  it('starts only this project, from its sources', () => {
    for (const { command, args } of Object.values(mcpServers)) {
      expect([command, args[0]]).toEqual(['node', `${CHECKOUT}/dist/main.js`]);
    }
  });

  it.each(Object.keys(mcpServers))('starts a server with its entry "%s"', async (key) => {
    const { command, args, env } = entry.parse(mcpServers[key]);
    const transport = new StdioClientTransport({
      command,
      args: args.map((arg) => arg.replace(CHECKOUT, ROOT).replace(PROJECTS, state)),
      cwd: ROOT,
      env: { ...env, PATH: process.env['PATH'] ?? '', HOME: state, SANDBOX_MCP_STATE_DIR: join(state, 's') },
      stderr: 'ignore',
    });
    const client = new Client({ name: 'example', version: '1' });
    await client.connect(transport);
    try {
      const { tools } = await client.listTools();
      expect(tools.map((tool) => tool.name)).toEqual(TOOLS.map((tool) => tool.name));
    } finally {
      await client.close();
    }
  });
});
