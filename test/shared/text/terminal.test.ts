import { describe, expect, it } from 'vitest';
import { CombiningLimit } from '../../../src/shared/text/combining-limit.ts';
import { ControlLimit } from '../../../src/shared/text/control-limit.ts';
import { TerminalScreen } from '../../../src/shared/text/terminal-screen.ts';
import { TerminalTranscript } from '../../../src/shared/text/terminal-transcript.ts';

/**
 * Without its limits the emulator works for hours; with them it takes seconds, however slow the machine is.
 */
const LONG_MS = 120_000;

describe('CombiningLimit', () => {
  const mark = '\u0301';

  it('leaves text unchanged', () => {
    const text = `cafe${mark} 👨\u200d👩\u200d👧 한국어 \u1112\u1161\u11ab e${mark.repeat(3)}`;
    expect(new CombiningLimit().pass(text)).toBe(text);
  });

  it('truncates a run, within a chunk and across many', () => {
    expect(new CombiningLimit().pass(`a${mark.repeat(100)}b`)).toBe(`a${mark.repeat(16)}b`);
    const limit = new CombiningLimit();
    const chunks = ['a', ...Array.from({ length: 50 }, () => mark.repeat(3)), `${mark}b`, mark];
    expect(chunks.map((chunk) => limit.pass(chunk)).join('')).toBe(`a${mark.repeat(16)}b${mark}`);
  });
});

describe('ControlLimit', () => {
  it('limits counts and leaves names, text and colours unchanged', () => {
    const limit = new ControlLimit();
    expect(limit.pass('4294967295 \u001b[4294967295L\u001b[9999;9999H\u009b77777M', 24)).toBe(
      '4294967295 \u001b[24L\u001b[500;500H\u001b[24M',
    );
    const kept =
      '\u001b[?1049h\u001b[38;2;10;20;255mx\u001b[>4;2m\u001b[3S\u001b[H\u001b(0\u001b]0;t\u0007 99999';
    expect(limit.pass(kept, 24)).toBe(kept);
    expect(limit.pass(`\u001b[${'1;'.repeat(500)}H.`, 24)).toBe('H.');
  });

  it('works at any chunk boundary', () => {
    const written = 'a\u001b[123456Lb\u001b[7mc';
    for (let cut = 0; cut <= written.length; cut++) {
      const limit = new ControlLimit();
      const passed = limit.pass(written.slice(0, cut), 24) + limit.pass(written.slice(cut), 24);
      expect(passed).toBe('a\u001b[24Lb\u001b[7mc');
    }
  });

  it('finds a sequence interrupted by other controls', () => {
    const limit = new ControlLimit();
    expect(limit.pass('\u001b\u000e[\u00079\r99\u000099L.', 24)).toBe('\u001b[24L.');
    expect(limit.pass('\u009b\u000e99999M\u001b\u0000', 24) + limit.pass('[77S', 24)).toBe(
      '\u001b[24M\u001b[24S',
    );
  });

  it('keeps the emulator fast under random sequences', { timeout: LONG_MS }, async () => {
    const parts =
      '\u001b[ \u001b] \u001bP \u001b \u009b \u0090 ? > ! $ 9 99999 4294967296 ; : m h l H J K L M P @ X S T r s u t n c q p b d g \u000e \u0000 \u0007 \u001b\\\\ abc 日 \u0301 \n \r 1049 47 3 4 7 (0 #8 D E 8'.split(
        ' ',
      );
    const screen = new TerminalScreen(80, 24, () => {});
    const limit = new ControlLimit();
    // A seeded generator (Lehmer's), so that a failure repeats.
    let seed = 20_261;
    for (let round = 0; round < 4_000; round++) {
      let text = '';
      for (let count = 0; count < 10; count++) {
        seed = (seed * 48_271) % 2_147_483_647;
        text += parts[seed % parts.length];
      }
      await screen.write(limit.pass(text, 24));
    }
    screen.dispose();
  });

  it('keeps the emulator fast under expensive requests', { timeout: LONG_MS }, async () => {
    const screen = new TerminalScreen(80, 24, () => {});
    const limit = new ControlLimit();
    for (const final of 'ABCDEFGHIJKLMPSTXZ@`abdefgr') {
      await screen.write(limit.pass(`x\u001b[4294967295${final}\u001b[4294967295 ${final}`.repeat(20), 24));
    }
    screen.dispose();
  });
});

describe('TerminalTranscript', () => {
  it('returns new output as readable text', () => {
    const transcript = new TerminalTranscript();
    transcript.add('\u001b[31mred\u001b[0m\r\n10%\r20%\r\n');
    expect(transcript.take()).toBe('red\n20%\n');
    expect(transcript.take()).toBe('');
    const { total } = transcript;
    transcript.add('more');
    expect(transcript.since(total)).toBe('more');
  });

  it('omits the alternate screen at any chunk boundary', () => {
    const written = 'before \u001b[?1049h\u001b[2Jpainted\u001b[?25;1049lafter \u001b[?47hx\u001bcend';
    for (let cut = 0; cut <= written.length; cut++) {
      const transcript = new TerminalTranscript();
      transcript.add(written.slice(0, cut));
      transcript.add(written.slice(cut));
      expect(transcript.take()).toBe('before after end');
    }
  });

  it('keeps the newest part of a flood and reports what was dropped', () => {
    const transcript = new TerminalTranscript();
    for (let line = 0; line < 10_000; line++) transcript.add(`line ${line}\r\n`);
    const text = transcript.take();
    expect(text.length).toBeLessThan(25_000);
    expect(text).toMatch(/^\[… [\d,]+ characters left out …\]/);
    expect(text.endsWith('line 9999\n')).toBe(true);
  });
});

describe('TerminalScreen', () => {
  it('shows rows and cells, and stores nothing for links', async () => {
    const answers: string[] = [];
    const screen = new TerminalScreen(20, 5, (answer) => answers.push(answer));
    await screen.write('one\r\n\u001b]8;;http://x/\u0007two\u001b]8;;\u0007\u001b[4;3Hcell 日本');
    expect(screen.view()).toEqual({
      text: 'one\ntwo\n\n  cell 日本',
      cursor: { row: 4, col: 12 },
      cols: 20,
      rows: 5,
      alternateScreen: false,
      highlights: [],
    });
    await screen.write('\u001b[6n\u001b[?1h');
    expect(answers).toEqual(['\u001b[4;12R']);
    expect(screen.applicationCursor).toBe(true);
    await screen.write(`\u001b[2;1H${'x'.repeat(20)}`);
    expect(screen.view().cursor).toEqual({ row: 2, col: 20 });
    screen.dispose();
  });

  it('counts two columns for an emoji, as programs do', async () => {
    const screen = new TerminalScreen(20, 2, () => {});
    // What bash writes for three times left, then backspace: it takes the second emoji away.
    await screen.write('echo 😀😀abc\b\b\b\b\babc\u001b[K\b\b\b');
    expect(screen.view()).toMatchObject({ text: 'echo 😀abc', cursor: { row: 1, col: 8 } });
    screen.dispose();
  });

  it('lists what is highlighted by its background', async () => {
    const screen = new TerminalScreen(20, 4, () => {});
    const blue = '\u001b[44m';
    await screen.write(`${blue}${' '.repeat(20)}\r ${'\u001b[7m'}Yes\u001b[0m${blue} No`);
    await screen.write(`\u001b[0m\r\n  plain\r\n\u001b[7m${'bar'.padEnd(20)}\u001b[0m`);
    expect(screen.view().highlights).toEqual([
      { row: 1, col: 2, endCol: 4, text: 'Yes' },
      { row: 3, col: 1, endCol: 20, text: 'bar' },
    ]);
    screen.dispose();
  });

  it.each([50, 30])(
    'lists the selection of a dialog of %i columns, on a screen of its colour',
    async (width) => {
      const screen = new TerminalScreen(60, 16, () => {});
      const [blue, grey, black] = ['\u001b[0;37;44m', '\u001b[0;30;47m', '\u001b[40m'];
      const at = (row: number) => `\u001b[${row};5H`;
      await screen.write(`${blue}\u001b[2J`);
      for (let row = 3; row < 13; row++)
        await screen.write(
          `${at(row)}${grey}|${`${row} item`.padEnd(width - 2)}|${row > 3 ? `${black}  ` : ''}`,
        );
      await screen.write(`${at(13)}\u001b[2C${black}${' '.repeat(width)}`);
      await screen.write(`\u001b[6;10H${blue}2 two  \u001b[11;10H< OK >${grey}  <Cancel>`);
      expect(screen.view().highlights).toEqual([
        { row: 6, col: 10, endCol: 16, text: '2 two' },
        { row: 11, col: 10, endCol: 15, text: '< OK >' },
      ]);
      screen.dispose();
    },
  );

  it('lists a selection of many lines, and the labels of a bar of keys', async () => {
    const screen = new TerminalScreen(20, 8, () => {});
    for (let row = 2; row < 6; row++)
      await screen.write(`\u001b[${row};3H\u001b[7mline ${row}\u001b[0m after`);
    await screen.write('\u001b[8;1HF1\u001b[30;46mHelp \u001b[0mF2\u001b[30;46mSetup \u001b[0m');
    expect(screen.view().highlights.map(({ row, text }) => [row, text])).toEqual([
      ...[2, 3, 4, 5].map((row) => [row, `line ${row}`]),
      [8, 'Help'],
      [8, 'Setup'],
    ]);
    screen.dispose();
  });

  it('does not answer title, clipboard or colour requests', async () => {
    const answers: string[] = [];
    const screen = new TerminalScreen(20, 5, (answer) => answers.push(answer));
    await screen.write(
      '\u001b]0;echo evil\u0007\u001b[21t\u001b[20t\u001b]52;c;?\u0007\u001b]11;?\u0007\u0005\u001bP+q544e\u001b\\',
    );
    expect(answers).toEqual([]);
    screen.dispose();
  });
});
