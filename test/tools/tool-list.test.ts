import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, it } from 'vitest';
import { describeTool } from '../../src/server/describe-tool.ts';
import type { Tool } from '../../tools/common/tool.ts';
import { TOOLS } from '../../tools/index.ts';

/** What the list costs a model: name, description and input schema. */
function modelTokens(tools: readonly Tool[]): number {
  const shown = tools
    .map((tool) => describeTool(tool))
    .map(({ name, description, inputSchema }) => ({ name, description, inputSchema }));
  return encode(JSON.stringify(shown)).length;
}

describe('the list of tools', () => {
  it('has every tool once, in its fixed order', () => {
    expect(TOOLS.map(({ name }) => name)).toEqual([
      'sandbox_create',
      'sandbox_get',
      'sandbox_list',
      'sandbox_wait_for_status',
      'sandbox_domain',
      'sandbox_extend_timeout',
      'sandbox_update_network_policy',
      'sandbox_snapshot',
      'sandbox_stop',
      'sandbox_run_command',
      'sandbox_run_command_detached',
      'sandbox_get_command',
      'sandbox_mk_dir',
      'sandbox_list_files',
      'sandbox_search_files',
      'sandbox_read_file',
      'sandbox_iter_file',
      'sandbox_write_files',
      'sandbox_edit_file',
      'sandbox_download_file',
      'sandbox_upload_file',
      'sandbox_changes',
      'sandbox_apply_changes',
      'sandbox_shell',
      'shell_send',
      'shell_close',
      'command_logs',
      'command_wait',
      'command_output',
      'command_kill',
      'snapshot_get',
      'snapshot_list',
      'snapshot_delete',
      'session_info',
    ]);
  });

  it('stays within its token budgets', () => {
    expect(modelTokens(TOOLS)).toBeLessThanOrEqual(4_000);
    expect(modelTokens(TOOLS.filter(({ toolsets }) => toolsets.includes('core')))).toBeLessThanOrEqual(2_200);
    expect(
      encode(JSON.stringify({ tools: TOOLS.map((tool) => describeTool(tool)) })).length,
    ).toBeLessThanOrEqual(8_600);
  });

  it.each(TOOLS.map((tool) => [tool.name, tool] as const))(
    '%s is described like the others',
    (_name, tool) => {
      const { description, title, inputSchema, outputSchema } = describeTool(tool);
      expect(title).toMatch(/^[A-Z]/);
      expect(description).toMatch(/\.$/);
      expect(description.length).toBeLessThan(200);
      expect(inputSchema).toMatchObject({ type: 'object', additionalProperties: false });
      expect(inputSchema).not.toHaveProperty('anyOf');
      // An image comes without the data that a schema would promise.
      expect(outputSchema?.['type']).toBe(tool.showsImages ? undefined : 'object');
      expect(tool.annotations.readOnlyHint && tool.annotations.destructiveHint).toBe(false);
    },
  );

  it('gives every argument one JSON type, also the instants, which may be numbers', () => {
    for (const tool of TOOLS) {
      const properties = Object.entries(Object(describeTool(tool).inputSchema['properties']));
      expect(properties.map(([name]) => name)).toEqual(Object.keys(tool.input.shape));
      for (const [name, schema] of properties) {
        expect(schema, `${tool.name} ${name}`).toHaveProperty('type', expect.any(String));
      }
    }
    for (const name of ['sandbox_list', 'snapshot_list']) {
      const input = TOOLS.find((tool) => tool.name === name)?.input;
      for (const since of [1_700_000_000_000, '1700000000000', '2023-11-14T22:13:20Z']) {
        expect(input?.safeParse({ since, until: since }).success).toBe(true);
      }
    }
  });

  it('lets every sandbox tool except create and list name its sandbox', () => {
    for (const tool of TOOLS.filter(({ name }) => name.startsWith('sandbox_'))) {
      const named = 'sandbox_id' in tool.input.shape;
      expect(named).toBe(tool.name !== 'sandbox_create' && tool.name !== 'sandbox_list');
    }
  });

  it('omits only the annotations that clients assume by default', () => {
    for (const tool of TOOLS) {
      // The defaults of the protocol; two of the hints have no meaning for a tool that only reads.
      const defaults = {
        readOnlyHint: false,
        destructiveHint: true,
        idempotentHint: false,
        openWorldHint: true,
      };
      const assumed = { ...defaults, ...describeTool(tool).annotations };
      const { readOnlyHint, openWorldHint } = tool.annotations;
      expect(assumed).toMatchObject(readOnlyHint ? { readOnlyHint, openWorldHint } : tool.annotations);
    }
  });

  it('always loads the tools that start every piece of work, and lets a search find the others', () => {
    const isAlwaysLoaded = (tool: Tool): boolean =>
      Reflect.get(describeTool(tool)._meta, 'anthropic/alwaysLoad') === true;
    expect(TOOLS.filter(isAlwaysLoaded).map(({ name }) => name)).toEqual([
      'sandbox_create',
      'sandbox_run_command',
      'sandbox_read_file',
      'sandbox_write_files',
      'sandbox_upload_file',
    ]);
    const hints = TOOLS.filter((tool) => !isAlwaysLoaded(tool)).map((tool) =>
      Reflect.get(describeTool(tool)._meta, 'anthropic/searchHint'),
    );
    for (const hint of hints) expect(hint).toMatch(/^[\w,. ]{8,60}$/);
    expect(new Set(hints).size).toBe(hints.length);
  });

  it('describes in words what some clients drop from schemas: the longest wait, and octal modes', () => {
    const words = (tool: Tool | undefined, pattern: RegExp): string[] =>
      [...JSON.stringify(tool && describeTool(tool).inputSchema).matchAll(pattern)].map(([text]) => text);
    for (const tool of TOOLS.filter(({ input }) => 'wait_ms' in input.shape)) {
      expect(words(tool, /"wait_ms":\{[^}]*"description":"max 55000"/g), tool.name).toHaveLength(1);
    }
    const detached = TOOLS.find(({ name }) => name === 'sandbox_run_command_detached');
    expect(words(detached, /"timeout_ms":\{[^}]*"description":"max 55000"/g)).toHaveLength(1);
    for (const name of ['sandbox_write_files', 'sandbox_upload_file']) {
      const tool = TOOLS.find((each) => each.name === name);
      expect(words(tool, /"octal, e\.g\. 0755"/g), name).toHaveLength(1);
    }
  });

  it('rejects unknown arguments everywhere', () => {
    for (const tool of TOOLS) {
      const checked = tool.input.safeParse({ no_such_argument: 1 });
      expect(checked.error?.issues.some(({ code }) => code === 'unrecognized_keys')).toBe(true);
    }
  });
});
