/** All engines of this program. The configuration, the records on disk and the types use this list. */
export const ENGINE_NAMES = ['oci', 'vercel'] as const;

export type EngineName = (typeof ENGINE_NAMES)[number];
