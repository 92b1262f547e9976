// Loaded into a server by `--import`: stops the process, as SIGSTOP does, at the place named in the file
// `stop-at` next to this one. System calls in progress continue; the process itself does nothing more.
import childProcess from 'node:child_process';
import { readFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const FILE = new URL('stop-at', import.meta.url);

/** Files of an upload that have been opened: more than the socket and both sides' buffers hold. */
let opened = 0;

/** Places by the call that leads to them, and whether it is `before` or `after` that call. */
const PLACES = {
  rename: {
    before: {
      'directory claimed': (from) => /\/sandboxes\/\.new\.[^/]+$/.test(from),
      'sandbox of the stock to be taken': (from, to) =>
        /\/sandboxes\/sbx_[^/]+\/record\.json$/.test(to) &&
        /"runtime": "\.stock"/.test(readFileSync(to, 'utf8')) &&
        /"status": "running"/.test(readFileSync(from, 'utf8')),
      'sandbox record written': (_, to) => /\/sandboxes\/sbx_[^/]+\/record\.json$/.test(to),
      'ownership record written': (_, to) => /\/records\/sbx_[^/]+\.json$/.test(to),
    },
    after: {
      'record says stopping': (_, to) =>
        /\/sandboxes\/sbx_[^/]+\/record\.json$/.test(to) &&
        /"status": "stopping"/.test(readFileSync(to, 'utf8')),
    },
  },
  readFile: { before: { 'container started': (path) => /\/bundle\/pid$/.test(String(path)) } },
  open: {
    before: {
      'upload under way': (path) => {
        // Identified by its open directory: the path goes through /proc.
        if (/\/[0-9]+\.bin$/.test(String(path))) opened += 1;
        return opened === 12;
      },
    },
  },
  spawn: {
    before: { 'container to be started': (_, args) => args?.[0] === 'launch' },
    after: { 'runtime started': (_, args) => args?.[0] === 'launch' },
  },
};

function stopIf(places, args) {
  const wanted = wantedPlace();
  if (wanted !== null && places?.[wanted]?.(...args)) process.kill(process.pid, 'SIGSTOP');
}

function wantedPlace() {
  try {
    return readFileSync(FILE, 'utf8');
  } catch {
    return null;
  }
}

for (const name of ['rename', 'readFile', 'open']) {
  const call = fs[name];
  fs[name] = async (...args) => {
    stopIf(PLACES[name].before, args);
    const result = await call(...args);
    stopIf(PLACES[name].after, args);
    return result;
  };
}
const { spawn } = childProcess;
childProcess.spawn = (...args) => {
  stopIf(PLACES.spawn.before, args);
  const child = spawn(...args);
  stopIf(PLACES.spawn.after, args);
  return child;
};
syncBuiltinESMExports();
