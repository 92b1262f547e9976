import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asRoot } from '../../src/cli/verbs/as-root.ts';
import { doctor } from '../../src/cli/verbs/doctor.ts';
import type { Diagnosis, Finding } from '../../src/engines/engine.ts';
import { recordingTerminal } from '../support/recording-terminal.ts';

const INSPECT = { fix: false, json: false, isRoot: true, asRoot: () => asRoot(true) };
const MEND = { ...INSPECT, fix: true };
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'doctor-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function finding(facts: Partial<Finding>): Finding {
  return { level: 'error', text: 'a problem', remedy: [], remedyNeedsRoot: false, advice: null, ...facts };
}

function diagnosis(works: boolean, ...findings: Finding[]): Diagnosis {
  return { engine: 'oci', works, findings };
}

const absent: Diagnosis = {
  engine: 'vercel',
  works: false,
  findings: [finding({ level: 'warning', text: 'not in this version' })],
};

describe('doctor', () => {
  it('exits with 0 when the first engine works', async () => {
    const terminal = recordingTerminal();
    const works = diagnosis(true, finding({ level: 'ok', text: 'crun ran a sandbox' }));
    const code = await doctor(INSPECT, async () => [works, absent], terminal);
    expect(code).toBe(0);
    expect(terminal.output()).toBe(
      'oci: works here\n  ok       crun ran a sandbox\nvercel: not in this version\n',
    );
  });

  it('exits with 1 when it does not, and shows the command that fixes it', async () => {
    const terminal = recordingTerminal();
    const remedy = [
      ['apt-get', 'update'],
      ['awk', 'BEGIN { print "it\'s" }'],
    ];
    const broken = diagnosis(false, finding({ remedy, remedyNeedsRoot: true, advice: 'Or ask.' }));
    expect(await doctor(INSPECT, async () => [broken], terminal)).toBe(1);
    expect(terminal.output()).toContain(
      `  error    a problem\n           apt-get update && awk 'BEGIN { print "it'\\''s" }'\n           Or ask.\n`,
    );
  });

  it('prints the findings as JSON', async () => {
    const terminal = recordingTerminal();
    const found = [diagnosis(true), absent];
    await doctor({ ...INSPECT, json: true }, async () => found, terminal);
    expect(JSON.parse(terminal.output())).toEqual(found);
  });

  it('fixes problems, prints what it runs, and checks again', async () => {
    const terminal = recordingTerminal();
    const mark = join(folder, 'mended');
    const broken = diagnosis(false, finding({ remedy: [['touch', mark]] }));
    const diagnose = async () => [existsSync(mark) ? diagnosis(true) : broken];
    expect(await doctor(MEND, diagnose, terminal)).toBe(0);
    expect(terminal.errors()).toBe(`doctor: running touch ${mark}\n`);
  });

  it('fixes problems that show only after the first is fixed', async () => {
    const [first, second] = [join(folder, 'first'), join(folder, 'second')];
    const diagnose = async () => {
      if (!existsSync(first)) return [diagnosis(false, finding({ remedy: [['touch', first]] }))];
      if (!existsSync(second)) return [diagnosis(false, finding({ remedy: [['touch', second]] }))];
      return [diagnosis(true)];
    };
    expect(await doctor(MEND, diagnose, recordingTerminal())).toBe(0);
  });

  it('runs each step once, continues after a failed one, and reports failures', async () => {
    const terminal = recordingTerminal();
    const mark = join(folder, 'mark');
    const broken = diagnosis(
      false,
      finding({ remedy: [['false'], ['touch', mark]] }),
      finding({ remedy: [['false'], ['no-such-program-here']] }),
    );
    expect(await doctor(MEND, async () => [broken], terminal)).toBe(1);
    expect(existsSync(mark)).toBe(true);
    expect(terminal.errors().match(/running false/g)).toHaveLength(1);
    expect(terminal.errors()).toContain('doctor: false: ended with exit code 1\n');
    expect(terminal.errors()).toMatch(/doctor: no-such-program-here: .*ENOENT/);
  });

  it('loads a file again that a later fix writes anew', async () => {
    const terminal = recordingTerminal();
    const [file, loaded] = [join(folder, 'file'), join(folder, 'loaded')];
    const load = ['cp', file, loaded];
    const fix = (text: string) => [['awk', `BEGIN { print "${text}" > "${file}" }`], load];
    const textOf = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8').trim() : '');
    const diagnose = async () => {
      if (textOf(loaded) === 'second') return [diagnosis(true)];
      return [diagnosis(false, finding({ remedy: fix(textOf(loaded) === '' ? 'first' : 'second') }))];
    };
    expect(await doctor(MEND, diagnose, terminal)).toBe(0);
  });

  describe('for a user other than root', () => {
    const mark = () => join(folder, 'mark');
    const broken = () => [diagnosis(false, finding({ remedy: [['touch', mark()]], remedyNeedsRoot: true }))];
    const mend = async (sudo: string | null) => {
      const terminal = recordingTerminal();
      const programs = join(folder, 'programs');
      mkdirSync(programs);
      if (sudo !== null) writeFileSync(join(programs, 'sudo'), `#!/bin/sh\n${sudo}\n`, { mode: 0o755 });
      const { PATH } = process.env;
      process.env['PATH'] = sudo === null ? programs : `${programs}:${PATH}`;
      try {
        const diagnose = async () => (existsSync(mark()) ? [diagnosis(true)] : broken());
        const code = await doctor(
          { ...MEND, isRoot: false, asRoot: () => asRoot(false) },
          diagnose,
          terminal,
        );
        return { code, terminal };
      } finally {
        process.env['PATH'] = PATH;
      }
    };

    it('runs what needs root with sudo', async () => {
      const { code, terminal } = await mend('[ "$1" = --non-interactive ] && shift && exec "$@"');
      expect(code).toBe(0);
      expect(terminal.errors()).toBe(`doctor: running sudo --non-interactive touch ${mark()}\n`);
    });

    it.each([
      ['asks for a password', 'echo "sudo: a password is required" >&2; exit 1'],
      ['is missing', null],
    ])('prints the command where sudo %s', async (_, sudo) => {
      const { code, terminal } = await mend(sudo);
      expect(code).toBe(1);
      expect(existsSync(mark())).toBe(false);
      expect(terminal.errors()).toBe('');
      expect(terminal.output()).toContain(`sudo touch ${mark()}`);
    });
  });

  it('changes nothing that works, even where a remedy is listed', async () => {
    const terminal = recordingTerminal();
    const fine = diagnosis(true, finding({ level: 'ok', remedy: [['false']] }));
    await doctor(MEND, async () => [fine], terminal);
    expect(terminal.errors()).toBe('');
  });
});
