import { describe, expect, it } from 'vitest';
import { selectTools } from '../../src/server/select-tools.ts';
import { TOOLS } from '../../tools/index.ts';

function names(selection: Parameters<typeof selectTools>[1]): string[] {
  return selectTools(TOOLS, selection).map(({ name }) => name);
}

describe('selectTools', () => {
  it('offers everything by default', () => {
    expect(names({ toolsets: 'all', readOnly: false })).toEqual(TOOLS.map(({ name }) => name));
  });

  it('narrows to the core set', () => {
    expect(names({ toolsets: ['core'], readOnly: false }).sort()).toEqual(
      [
        'sandbox_create',
        'sandbox_get',
        'sandbox_list_files',
        'sandbox_stop',
        'sandbox_extend_timeout',
        'sandbox_domain',
        'sandbox_run_command',
        'sandbox_run_command_detached',
        'sandbox_search_files',
        'sandbox_read_file',
        'sandbox_write_files',
        'sandbox_edit_file',
        'sandbox_upload_file',
        'command_logs',
        'command_wait',
        'command_kill',
      ].sort(),
    );
  });

  it('combines sets in the order of the list', () => {
    const joined = names({ toolsets: ['session', 'files'], readOnly: false });
    expect(joined).toEqual(TOOLS.map(({ name }) => name).filter((name) => joined.includes(name)));
    expect(joined.at(-1)).toBe('session_info');
  });

  it('marks every tool it offers in read-only mode as read-only, and sandbox_domain otherwise as not', () => {
    const offered = selectTools(TOOLS, { toolsets: 'all', readOnly: true });
    for (const { annotations } of offered) expect(annotations.readOnlyHint).toBe(true);
    const usual = selectTools(TOOLS, { toolsets: 'all', readOnly: false });
    const domain = usual.find(({ name }) => name === 'sandbox_domain');
    expect(domain?.annotations.readOnlyHint).toBe(false);
  });

  it('omits the tools that change anything', () => {
    const readOnly = names({ toolsets: 'all', readOnly: true });
    expect(readOnly).toContain('command_logs');
    expect(readOnly).toContain('sandbox_domain');
    for (const name of ['sandbox_create', 'sandbox_run_command', 'sandbox_download_file', 'command_kill']) {
      expect(readOnly).not.toContain(name);
    }
  });
});
