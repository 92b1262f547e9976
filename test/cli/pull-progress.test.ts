/** The progress of a pull, as shown to users. */
import { describe, expect, it } from 'vitest';
import { openProgressDisplay } from '../../src/cli/verbs/pull-progress.ts';

const MEGABYTE = 1_048_576;

function display(isScreen: boolean) {
  const shown: string[] = [];
  let now = 0;
  const terminal = {
    out: (data: string | Uint8Array) => void shown.push(`out ${data}`),
    err: (text: string) => void shown.push(`err ${text}`),
    isScreen,
  };
  const progress = openProgressDisplay(terminal, () => now);
  const download = (bytes: number, after: number) => {
    now += after;
    progress.show({ kind: 'download', layers: 2, layersDone: 1, bytes, totalBytes: 4 * MEGABYTE });
  };
  return { shown, progress, download };
}

describe('the progress of a pull', () => {
  it('is a bar on a terminal, redrawn at a limited rate and cleared at the end', () => {
    const { shown, progress, download } = display(true);
    progress.show({ kind: 'resolve' });
    download(MEGABYTE, 0);
    download(2 * MEGABYTE, 10);
    download(3 * MEGABYTE, 200);
    progress.close();
    progress.close();
    expect(shown).toEqual([
      'out \r\x1b[KLooking up the image',
      'out \r\x1b[K[########......................] 1.0 of 4.0 MB, 1 of 2 layers',
      'out \r\x1b[K[#######################.......] 3.0 of 4.0 MB, 1 of 2 layers',
      'out \r\x1b[K',
    ]);
  });

  it('is one line per phase elsewhere, separate from the result', () => {
    const { shown, progress, download } = display(false);
    progress.show({ kind: 'resolve' });
    download(0, 0);
    download(MEGABYTE, 1_000);
    progress.show({ kind: 'unpack' });
    progress.close();
    expect(shown).toEqual(['err Looking up the image\n', 'err Downloading 4.0 MB\n', 'err Unpacking\n']);
  });
});
