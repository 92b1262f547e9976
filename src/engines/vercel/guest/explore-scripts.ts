/**
 * Scripts that list and scan files. Paths come and go in base64: names need not be UTF-8, and the platform
 * passes text.
 */

/**
 * Lists the directories `$4`… (each ends with a slash): at most `$2` entries each whose names sort after
 * `$1` (which ends with a slash too, if it is not empty), with sizes and times if `$3` is 1. Prints records
 * that end with NUL: `/D`, whether there is a .git, and the .gitignore in base64; the entries, each a name, a
 * slash, kind, size and time; `/E` and whether there are more. `/X` alone: the directory cannot be read.
 */
export const LIST = `after=$(base64 -d <<< "$1") limit=$2 details=$3
after=\${after%/}
shift 3
later() {
  if [[ -z $after ]]; then cat; return; fi
  local record
  while IFS= read -r -d '' record; do
    [[ \${record%%/*} > $after ]] && printf '%s\\0' "$record"
  done
}
format='%f/%y 0 0\\0'
(( details )) && format='%f/%y %s %T@\\0'
for encoded; do
  directory=$(base64 -d <<< "$encoded")
  if [[ ! -d $directory || ! -r $directory || ! -x $directory ]]; then printf '/X\\0'; continue; fi
  git=0 ignore=
  [[ -e $directory.git ]] && git=1
  [[ -f $directory.gitignore && ! -L $directory.gitignore ]] && ignore=$(head -c 32768 -- "$directory.gitignore" 2> /dev/null | base64 -w 0)
  printf '/D %s %s\\0' "$git" "$ignore"
  find "$directory" -mindepth 1 -maxdepth 1 -printf "$format" 2> /dev/null | sort -z -t / -k 1,1 | later | head -z -n "$(( limit + 1 ))"
  printf '/E\\0'
done | base64`;

/** Bytes of one answer; a scan that finds more continues after the file in which it was cut. */
export const MAX_SCAN_OUTPUT = 1_048_576;

/**
 * Scans the files `$3` (relative to `$1`, each ended by NUL) for the literals `$4`…, or for every line; `$2`
 * is `-i` to ignore case. Prints the names of binary files and a NUL, those of unreadable ones and a NUL, then
 * for each line found the name, a NUL, and `line:offset:text` with a line end.
 */
export const SCAN = `cd -- "$(base64 -d <<< "$1")" || exit 0
case=$2 list=$3 patterns=()
shift 3
for encoded; do patterns+=(-e "$(base64 -d <<< "$encoded")"); done
(( \${#patterns[@]} )) || patterns=(-e '')
files() { base64 -d <<< "$list" | while IFS= read -r -d '' file; do [[ -f $file && ! -L $file ]] && printf './%s\\0' "$file"; done; }
{
  files | xargs -0 -r grep -LIZs -e '' -- | while IFS= read -r -d '' file; do [[ -s $file && -r $file ]] && printf '%s\\0' "$file"; done
  printf '\\0'
  files | while IFS= read -r -d '' file; do [[ -r $file ]] || printf '%s\\0' "$file"; done
  printf '\\0'
  files | xargs -0 -r grep -nbHZIsF $case "\${patterns[@]}" --
} | head -c ${MAX_SCAN_OUTPUT} | base64`;
