import type { SandboxSource } from '../../engine.ts';

export type GitSource = Extract<SandboxSource, { type: 'git' }>;
