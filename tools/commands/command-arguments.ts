/** Arguments of a command as results show them: for orientation, so that a long script is shortened. */
const MAX_SHOWN_ARGUMENT = 400;
const MAX_SHOWN_ARGUMENTS = 40;

export function shortenedList(args: readonly string[]): string[] {
  const shown = args.slice(0, MAX_SHOWN_ARGUMENTS).map(shortened);
  if (args.length > shown.length) shown.push(`… ${args.length - shown.length} more`);
  return shown;
}

export function shortened(argument: string): string {
  if (argument.length <= MAX_SHOWN_ARGUMENT) return argument;
  const kept = argument.slice(0, MAX_SHOWN_ARGUMENT).replace(/\p{Surrogate}$/u, '');
  return `${kept}… ${argument.length - MAX_SHOWN_ARGUMENT} more characters`;
}
