/** Scripts for file operations in the sandbox, run as its user, and the meaning of their exit codes. */
import { SandboxError } from '../../../shared/errors.ts';
import { readOnlyDirectoryError } from '../../../shared/read-only-directory-error.ts';
import type { ScriptResult } from './run-script.ts';

/** The reason for a failure, as an exit code of a script. */
export const MISSING = 40;
const IS_DIRECTORY = 41;
const NOT_REGULAR = 42;
const NOT_DIRECTORY = 43;
const FORBIDDEN = 44;
const NO_SPACE = 45;
const UNRESOLVABLE = 46;

/** Translates error messages of coreutils into exit codes. */
const PRELUDE = `refuse() {
  printf '%s' "$1" >&2
  case $1 in
    *'Permission denied'* | *'Operation not permitted'* | *'Read-only file system'*) exit ${FORBIDDEN} ;;
    *'No space left'* | *'quota exceeded'*) exit ${NO_SPACE} ;;
    *'Not a directory'* | *'File exists'* | *'non-directory'*) exit ${NOT_DIRECTORY} ;;
    *'Is a directory'*) exit ${IS_DIRECTORY} ;;
    *'Too many levels'* | *'name too long'*) exit ${UNRESOLVABLE} ;;
    *'No such file'*) exit ${MISSING} ;;
  esac
  exit 47
}
attempt() { local said; said=$("$@" 2>&1) || refuse "$said"; }
`;

/** Creates the directory `$1` and its parents. */
export const MAKE_DIRECTORY = `${PRELUDE}
[[ -e $1 && ! -d $1 ]] && exit ${NOT_DIRECTORY}
attempt mkdir -p -- "$1"`;

/** Prints kind, size, mode and modification time of `$1`, following links. */
export const STAT = `${PRELUDE}
[[ -e $1 ]] || exit ${MISSING}
kind=o
[[ -f $1 ]] && kind=f
[[ -d $1 ]] && kind=d
said=$(stat -L -c '%s %a %.3Y' -- "$1" 2>&1) || refuse "$said"
echo "$kind $said"`;

/** The same, and for a file also the digest of its current content. */
export const DESCRIBE = `${STAT}
[[ $kind == f ]] || exit 0
[[ -r $1 ]] || refuse 'Permission denied'
set -o pipefail
head -c "\${said%% *}" -- "$1" | sha256sum || exit 47`;

/** Prints the size of `$1`, then at most `$3` bytes from offset `$2` in base64. */
export const READ = `${PRELUDE}
[[ -e $1 ]] || exit ${MISSING}
[[ -d $1 ]] && exit ${IS_DIRECTORY}
[[ -f $1 ]] || exit ${NOT_REGULAR}
[[ -r $1 ]] || refuse 'Permission denied'
stat -L -c '%s' -- "$1" || exit 47
(( $3 == 0 )) && exit 0
tail -c "+$(( $2 + 1 ))" -- "$1" | head -c "$3" | base64`;

/**
 * Moves staged files to their targets, each whole or not at all. `$1` is the prefix of the staged names, `$2`
 * the name of a file while it is written next to its target; then path, mode (or nothing) and size of each
 * file. Prints a line for each file in place. `REMOVE_STAGED` removes what is left, since a killed script
 * removes nothing.
 */
export const PLACE_FILES = `${PRELUDE}
stage=$1 name=$2 count=$(( ($# - 2) / 3 ))
shift 2
for (( n = 0; n < count; n++ )); do
  target=$(readlink -m -- "$1" 2> /dev/null) || target=$1
  mode=$2 size=$3
  shift 3
  here=$(stat -c %s -- "$stage-$n" 2>&1)
  [[ $here == "$size" ]] || { printf 'of %s bytes there came %s' "$size" "$here" >&2; exit 47; }
  [[ -d $target ]] && exit ${IS_DIRECTORY}
  [[ -e $target && ! -f $target ]] && exit ${NOT_REGULAR}
  [[ -e $target && ! -w $target ]] && refuse 'Permission denied'
  directory=$(dirname -- "$target")
  attempt mkdir -p -- "$directory"
  fresh=$directory/$name
  attempt cp -T --remove-destination -- "$stage-$n" "$fresh"
  if [[ -n $mode ]]; then attempt chmod -- "$mode" "$fresh"
  elif [[ -e $target ]]; then attempt chmod --reference="$target" -- "$fresh"
  else attempt chmod 0644 -- "$fresh"; fi
  attempt mv -fT -- "$fresh" "$target"
  echo placed
done
rm -f -- "$stage"-*`;

/** Removes the staged files that `PLACE_FILES` has not moved: `$1` and `$2` as there, then the paths. */
export const REMOVE_STAGED = `stage=$1 name=$2
shift 2
rm -f -- "$stage"-*
for path; do rm -f -- "$(dirname -- "$(readlink -m -- "$path" 2> /dev/null || echo "$path")")/$name"; done`;

/**
 * Packs the directory `$1` into `$2`. Files that change meanwhile are packed as they are read. Prints each
 * entry that is left out as a letter for its kind, its path and a NUL.
 */
export const PACK = `${PRELUDE}
[[ -r $1 && -x $1 ]] || refuse 'Permission denied'
said=$(tar --hard-dereference --ignore-failed-read --format=posix -C "$1" -czf "$2" . 2>&1)
code=$?
if (( code <= 1 )); then
  find "$1" -mindepth 1 '(' '(' -type f -o -type d ')' ! -readable -o -type d ! -executable -o \\
    ! -type f ! -type d ! -type l ')' -printf '%y%P\\0' 2> /dev/null | head -c 1000000
  exit 0
fi
rm -f -- "$2"
refuse "$said"`;

/**
 * Unpacks the parts `$2-0` to `$2-(n - 1)`, `$3` of them, and moves their single entry `root` to `$1`,
 * merging it with a directory that exists there. Conflicts are detected before anything is moved. They are
 * unpacked beside that directory, or in it where its parent belongs to root, as that of `/vercel/sandbox` does.
 */
export const PLACE_TREE = `${PRELUDE}
place=$1 parts=$2 count=$3 stage=
clean() { for (( n = 0; n < count; n++ )); do rm -f -- "$parts-$n"; done; [[ -n $stage ]] && rm -rf -- "$stage"; }
trap clean EXIT
parent=$(dirname -- "$place")
attempt mkdir -p -- "$parent"
name=.sandbox-mcp-XXXXXXXX
stage=$(mktemp -d -- "$parent/$name" 2>&1) || {
  said=$stage stage=
  [[ -d $place && ! -L $place ]] || refuse "$said"
  stage=$(mktemp -d -- "$place/$name" 2>&1) || { said=$stage stage=; refuse "$said"; }
}
said=$(for (( n = 0; n < count; n++ )); do cat -- "$parts-$n" || exit 1; done | tar -xpf - -C "$stage" 2>&1) || refuse "$said"
if [[ ! -d $stage/root || -L $stage/root ]]; then
  [[ -d $place && ! -L $place ]] && exit ${IS_DIRECTORY}
  attempt mv -fT -- "$stage/root" "$place"
elif [[ ! -e $place && ! -L $place ]]; then
  attempt mv -T -- "$stage/root" "$place"
else
  [[ -d $place ]] || exit ${NOT_DIRECTORY}
  while IFS= read -r -d '' entry; do
    there=$place/$entry
    if [[ -d $stage/root/$entry && ! -L $stage/root/$entry ]]; then
      [[ ( -e $there || -L $there ) && ( -L $there || ! -d $there ) ]] && exit ${NOT_DIRECTORY}
    else
      [[ -d $there && ! -L $there ]] && exit ${IS_DIRECTORY}
    fi
  done < <(find "$stage/root" -mindepth 1 -printf '%P\\0')
  attempt cp -aT --remove-destination -- "$stage/root" "$place"
fi`;

/**
 * Lists the directory `$1` and everything below it into `$2`, compressed: for each entry a letter for its kind,
 * mode, size, times of modification and change, path and NUL, then the target of a link and NUL. `x` is a
 * directory that cannot be read; `e` ends the list. Fails unless find has read everything: what vanished while
 * it ran may be missing, nothing else.
 */
export const SURVEY = `${PRELUDE}
for program in find gzip grep head; do command -v "$program" > /dev/null || { echo "$program" >&2; exit 127; }; done
[[ -d $1 ]] || exit ${MISSING}
{
  said=$(
    LC_ALL=C find "$1" -type d '(' ! -readable -o ! -executable ')' -printf 'x 0 0 0 0 %P\\0\\0' -prune \\
      -o -printf '%y %m %s %T@ %C@ %P\\0%l\\0' 2>&1 >&3 3>&- | grep -v ': No such file or directory$' | head -c 1000
    exit "\${PIPESTATUS[0]}"
  )
  code=$?
  (( code <= 1 )) && [[ -z $said ]] || { printf 'find ended with %s: %s' "$code" "$said" >&2; exit 1; }
  printf 'e 0 0 0 0 \\0\\0'
} 3>&1 | gzip -1 > "$2"
codes=("\${PIPESTATUS[@]}")
(( codes[0] == 0 && codes[1] == 0 )) || exit 47`;

/**
 * Prints the SHA-256 of the files `$2` and on, whose paths begin with `./`, in the directory `$1`, each as
 * `sha256sum -z` does. A file that cannot be read is left out.
 */
export const DIGEST_FILES = `cd -- "$1" 2> /dev/null || exit ${MISSING}
shift
sha256sum -z -- "$@" 2> /dev/null
(( $? <= 1 ))`;

/** Removes files if they exist. */
export const REMOVE = `rm -f -- "$@"`;

/** The error for a failed script; null if it succeeded. */
export function refusal(
  { exitCode, stderr }: ScriptResult,
  path: string,
  doing: string,
): SandboxError | null {
  if (exitCode === 0) return null;
  const details = { path };
  switch (exitCode) {
    case MISSING:
      // Writing creates missing parents, so none of them can be missing.
      if (doing !== 'read') return readOnlyDirectoryError(path, details);
      return new SandboxError('not_found', `"${path}" does not exist in the sandbox.`, {
        hint: 'List the directory with sandbox_run_command (cmd: "ls"), or correct the path.',
        details,
      });
    case IS_DIRECTORY:
      return new SandboxError('invalid_argument', `Expected a file, but "${path}" is a directory.`, {
        hint: 'Name a file inside it; to copy whole directories use sandbox_download_file and sandbox_upload_file.',
        details,
      });
    case NOT_REGULAR:
      return new SandboxError(
        'invalid_argument',
        `"${path}" is a device, fifo or socket, not a regular file.`,
        {
          hint: 'To read it anyway, use sandbox_run_command.',
          details,
        },
      );
    case NOT_DIRECTORY:
      return new SandboxError(
        'invalid_argument',
        `Expected a directory, but "${path}" or a part of it is a file.`,
        {
          hint: 'Correct the path; relative paths start at cwd.',
          details,
        },
      );
    case FORBIDDEN:
      return new SandboxError('permission', `The sandbox's user has no permission to ${doing} "${path}".`, {
        hint: "Use a path below the sandbox's cwd, or sandbox_run_command with sudo: true.",
        details,
      });
    case NO_SPACE:
      return new SandboxError('limit_exceeded', `No space left for "${path}" in the sandbox.`, {
        hint: 'Remove files in the sandbox.',
        details,
      });
    case UNRESOLVABLE:
      return new SandboxError('invalid_argument', `"${path}" cannot be resolved.`, { details });
    default:
      return new SandboxError(
        'server',
        `The sandbox could not ${doing} "${path}": ${reasonOf(exitCode, stderr)}.`,
        {
          hint: 'Call again; sandbox_run_command (cmd: "df", "ls") shows the state of its disk and of the directory.',
          details: { ...details, exit_code: exitCode },
        },
      );
  }
}

function reasonOf(exitCode: number, stderr: string): string {
  const said = stderr.trim().slice(0, 200).replace(/\.$/, '');
  if (said !== '') return said;
  return exitCode > 128
    ? `its script was killed by signal ${exitCode - 128}`
    : `its script ended with exit code ${exitCode} and no message`;
}
