/** Formats a program and its arguments as a line that can be pasted into a POSIX shell. */
export function commandLine(step: readonly string[]): string {
  return step.map(quoted).join(' ');
}

function quoted(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
