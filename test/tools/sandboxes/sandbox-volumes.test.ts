import { expect, it } from 'vitest';
import { requireVisible } from '../../../tools/sandboxes/sandbox-volumes.ts';

const at = (path: string) => [{ name: 'data', path, readOnly: false }];

it.each(['/vercel', '/vercel/sandbox', '/vercel/sandbox/app'])(
  'refuses a volume at %s over a workspace',
  (path) => {
    expect(() => requireVisible('/vercel/sandbox/app', at(path))).toThrow(
      `The volume data at ${path} would hide the workspace at /vercel/sandbox/app.`,
    );
  },
);

it.each(['/data', '/vercel/sandbox/ap', '/vercel/sandbox/apps', '/vercel/sandbox/app/node_modules'])(
  'takes a volume at %s',
  (path) => {
    expect(() => requireVisible('/vercel/sandbox/app', at(path))).not.toThrow();
    expect(() => requireVisible('/vercel/sandbox/app')).not.toThrow();
  },
);
