/** `git upload-pack`, run in the sandbox. Commands of the platform pass text on, so the bytes go through files. */
import type { Session } from '@vercel/sandbox';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { absolutePath } from '../../../shared/fs/sandbox-path.ts';
import { gitFailure, NO_PROGRAM } from '../../../shared/git/git-failure.ts';
import type { GitRepositories, UploadPack } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { runScript } from '../guest/run-script.ts';
import { stageName } from '../guest/stage-name.ts';
import { brokenConnection } from '../http/parse-failure.ts';
import { explain, runningSession } from '../sandbox/get-sandbox.ts';
import { removeFiles } from './read-tree.ts';

/** Below the 5 minutes after which the platform ends a request. */
const UPLOAD_MS = 290_000;
const WITHOUT_GIT = 60;
const DOING = 'fetch from a repository';

/**
 * Writes the answer to `$2.out` for the repository `$1`: to the request in `$2.in`, or the references without
 * one. `$3` is the version of the protocol that the client wants. Fails as git does if that has written nothing:
 * else its own protocol tells the client.
 */
const UPLOAD_PACK = `umask 077
command -v git > /dev/null || exit ${WITHOUT_GIT}
[[ -n $3 ]] && export GIT_PROTOCOL="$3"
upload() { git -c 'safe.directory=*' upload-pack --stateless-rpc "$@" > "$stage.out" 2> /dev/null; }
stage=$2
if [[ -e $stage.in ]]; then upload "$1" < "$stage.in"; else upload --advertise-refs "$1" < /dev/null; fi
code=$?
[[ -s $stage.out ]] || exit "$code"`;

/** Repositories of sandboxes in the cloud. */
export function gitOf(context: VercelContext): GitRepositories {
  return {
    async *uploadPack(wanted, signal) {
      const { sandboxId } = wanted;
      const session = await runningSession(context, sandboxId, DOING, signal);
      const stage = stageName();
      try {
        await runUpload(session, wanted, stage, signal);
        const answer = await session.readFile({ path: `${stage}.out` }, { signal });
        if (answer === null)
          throw new SandboxError('server', "The sandbox removed git's answer before it was read.");
        for await (const chunk of answer) yield Buffer.from(chunk);
      } catch (error) {
        throwIfCancelled(signal);
        if (error instanceof SandboxError) throw error;
        throw await explain(context, sandboxId, DOING, signal, brokenConnection(error));
      } finally {
        await removeFiles(context, session, [`${stage}.in`, `${stage}.out`]);
      }
    },
  };
}

async function runUpload(
  session: Session,
  { path, request, protocol }: UploadPack,
  stage: string,
  signal: AbortSignal,
): Promise<void> {
  if (request !== null)
    await session.writeFiles([{ path: `${stage}.in`, content: Buffer.from(request) }], { signal });
  const repository = absolutePath(path, null, session.cwd);
  const args = [repository, stage, protocol ?? ''];
  const { exitCode } = await runScript(session, UPLOAD_PACK, args, { signal, timeoutMs: UPLOAD_MS });
  if (exitCode !== 0) throw gitFailure(exitCode === WITHOUT_GIT ? NO_PROGRAM : exitCode, repository);
}
