// Builds what the package ships: dist/main.js with its bundle, and the agent of the `oci` engine.
//
//   node scripts/build.mjs              JavaScript, and the agent for this machine
//   node scripts/build.mjs --js-only    JavaScript alone
//   node scripts/build.mjs --release    JavaScript, and the agent for every architecture
import { buildAgents } from './build-agents.mjs';
import { buildJavaScript } from './build-javascript.mjs';

const KNOWN = ['--js-only', '--release'];
const given = process.argv.slice(2);
const unknown = given.filter((argument) => !KNOWN.includes(argument));
if (unknown.length > 0) {
  console.error(`build: unknown argument ${unknown[0]}; valid ones are ${KNOWN.join(', ')}`);
  process.exit(2);
}

try {
  const release = given.includes('--release');
  await buildJavaScript();
  if (!given.includes('--js-only')) await buildAgents({ release });
} catch (error) {
  console.error(`build: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}
