/** The rules of files and folders: short, few, and named alike. */
import { posix } from 'node:path';
import type { SourceFile } from './architecture.ts';

const MAX_LINES = 300;
const MAX_FOLDER_FILES = 20;
const MAX_MEDIAN = 100;

/** Files that are too long. */
export function lengthViolations(files: readonly SourceFile[]): string[] {
  return files
    .map(({ path, text }) => ({ path, lines: lineCount(text) }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ path, lines }) => `${path}: ${lines} lines, at most ${MAX_LINES}`);
}

/** Folders that hold too many files directly. */
export function folderViolations(files: readonly SourceFile[]): string[] {
  const counts = new Map<string, number>();
  for (const { path } of files) {
    const folder = posix.dirname(path);
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return [...counts]
    .filter(([, count]) => count > MAX_FOLDER_FILES)
    .map(([folder, count]) => `${folder}: ${count} files, at most ${MAX_FOLDER_FILES}`);
}

/** Whether the median file is too long. */
export function medianViolations(files: readonly SourceFile[]): string[] {
  const sorted = files.map(({ text }) => lineCount(text)).sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return median < MAX_MEDIAN
    ? []
    : [`the median file has ${median} lines, fewer than ${MAX_MEDIAN} are wanted`];
}

/** Names that are not kebab-case. */
export function nameViolations(files: readonly SourceFile[]): string[] {
  return files
    .filter(
      ({ path }) =>
        !/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|system\.test|config|d))?\.[a-z]+$/.test(posix.basename(path)),
    )
    .map(({ path }) => `${path}: the name is not kebab-case`);
}

function lineCount(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}
