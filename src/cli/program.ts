/** The command line: serves without a subcommand; the subcommands are for people. */
import { Command, Option } from 'commander';
import type { Config } from '../config/config.ts';
import { environmentName, FLAGS, type FlagName } from '../config/flags.ts';
import type { Session } from '../registry/types.ts';
import type { Dependencies } from './dependencies.ts';
import { exitCodeOf } from './exit-code.ts';
import type { Terminal } from './output/terminal.ts';
import { asRoot } from './verbs/as-root.ts';
import { attach } from './verbs/attach.ts';
import { clean } from './verbs/clean.ts';
import { doctor } from './verbs/doctor.ts';
import { withOwnHints } from './verbs/group-verb.ts';
import {
  buildImage,
  DEFAULT_MAX_SIZE,
  importImage,
  listImages,
  pruneImages,
  pullImage,
  removeImage,
} from './verbs/image.ts';
import { list } from './verbs/list.ts';
import { logs } from './verbs/logs.ts';
import { stop } from './verbs/stop.ts';
import { showTools } from './verbs/tools.ts';
import { listVolumes, pruneVolumes, removeVolume } from './verbs/volume.ts';
import { withRegistry } from './with-registry.ts';

/**
 * Runs the command line (without the program's own name). Returns the exit code; rejects only for defects.
 */
export async function runProgram(
  argv: readonly string[],
  dependencies: Dependencies,
  terminal: Terminal,
): Promise<number> {
  const given = new Map<FlagName, string[]>();
  const outcome = { exitCode: 0 };
  const program = buildProgram(dependencies, terminal, given, outcome);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return outcome.exitCode;
  } catch (error) {
    return exitCodeOf(error, program, terminal);
  }
}

type RunVerb = (config: Config, command: Command) => Promise<number>;
type AddVerb = (name: string, description: string, run: RunVerb) => Command;

function buildProgram(
  dependencies: Dependencies,
  terminal: Terminal,
  given: Map<FlagName, string[]>,
  outcome: { exitCode: number },
): Command {
  const program = baseProgram(dependencies.version, terminal);
  addFlags(program, given);
  program.action(async () => {
    outcome.exitCode = await dependencies.serve(dependencies.loadConfig(given));
  });
  const verbsOf =
    (parent: Command): AddVerb =>
    (name, description, run) =>
      parent
        .command(name)
        .description(description)
        .action(async (...args) => {
          const command: unknown = args.at(-1);
          if (command instanceof Command)
            outcome.exitCode = await run(dependencies.loadConfig(given), command);
        });
  const verb = verbsOf(program);
  addDoctor(dependencies, terminal, verb);
  addSandboxVerbs(dependencies, terminal, verb);
  const images = program
    .command('image')
    .description('import or pull images for use as `runtime`; list and remove them')
    .helpCommand(false);
  addImageVerbs(dependencies, terminal, verbsOf(images));
  const volumes = program.command('volume').description('list and remove named volumes').helpCommand(false);
  addVolumeVerbs(dependencies, terminal, verbsOf(volumes));
  verb(
    'setup',
    'add this server to the settings of a client, or of every client found',
    async (config, command) => {
      const { setupClients } = await import('./setup-clients.ts');
      const request = {
        client: command.args[0] ?? null,
        remove: hasOption(command, 'remove'),
        yes: hasOption(command, 'yes'),
        flags: given,
        container: hasOption(command, 'container'),
        image: textOption(command, 'image'),
      };
      return withOwnHints(() => setupClients(request, config, dependencies, terminal));
    },
  )
    .argument('[client]', 'such as claude-code, cursor or vscode')
    .option('--remove', 'take it out again')
    .option('--yes', 'do not ask before files are changed, or before this machine is prepared for sandboxes')
    .option('--container', 'start the server with docker or podman, as is done on macOS and Windows')
    .option('--image <image>', "the server's container image, if not the one of this version")
    .addHelpText('after', '\nFlags before `setup` become flags of the server.');
  verb('clean', 'remove what exited servers left behind', async (config, command) => {
    if (hasOption(command, 'afterInput')) await dependencies.endOfInput();
    return withRegistry(dependencies, config, terminal, (registry) =>
      clean(registry, hasOption(command, 'damaged'), terminal),
    );
  })
    .option('--damaged', 'also end and remove sandboxes with damaged ownership records, even if in use')
    // For a server that cannot finish in time: its end closes the input.
    .addOption(new Option('--after-input', 'begin when the standard input ends').hideHelp());
  verb('tools', 'print the tools that the server offers', async (config) =>
    showTools(await dependencies.tools(config), terminal),
  );
  return program;
}

function baseProgram(version: string, terminal: Terminal): Command {
  return new Command('sandbox-mcp')
    .description(
      'MCP server that gives an agent isolated Linux sandboxes. Without a subcommand, it serves MCP over stdio.',
    )
    .version(version, '--version', 'print the version')
    .helpOption('--help', 'show this help')
    .helpCommand(false)
    .addHelpText(
      'after',
      `\nEvery flag can also be set in the environment: --max-vcpus as ${environmentName('max-vcpus')}.`,
    )
    .exitOverride()
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err, outputError: () => {} });
}

function addDoctor(dependencies: Dependencies, terminal: Terminal, verb: AddVerb): void {
  verb(
    'doctor',
    'check what each engine needs on this machine and show how to fix what is missing',
    (config, command) => {
      const isRoot = process.geteuid?.() === 0;
      const [fix, json] = [hasOption(command, 'fix'), hasOption(command, 'json')];
      const options = { fix, json, isRoot, asRoot: () => asRoot(isRoot) };
      return doctor(options, () => dependencies.diagnose(config), terminal);
    },
  )
    .option('--fix', 'run the fixes; those for root with sudo, if it asks for no password')
    .option('--json', 'print the findings as JSON');
}

function addSandboxVerbs(dependencies: Dependencies, terminal: Terminal, verb: AddVerb): void {
  const withSession = (config: Config, work: (session: Session) => Promise<number>): Promise<number> =>
    withRegistry(dependencies, config, terminal, (registry) => work(registry.openSession('local')));
  verb('list', 'list the sandboxes of this machine and user', (config, command) =>
    withSession(config, (session) =>
      list(session, { json: hasOption(command, 'json') }, Date.now(), terminal),
    ),
  ).option('--json', 'print the sandboxes as JSON');
  verb('logs', 'print the output of a command, or of every command of a sandbox', (config, command) =>
    withSession(config, (session) =>
      logs(session, command.args[0] ?? '', hasOption(command, 'follow'), terminal),
    ),
  )
    .argument('<id>', 'a command id or a sandbox id')
    .option('-f, --follow', 'keep printing until the command finishes');
  verb('stop', 'stop a sandbox', (config, command) =>
    withSession(config, (session) => stop(session, command.args[0] ?? '', terminal)),
  ).argument('<id>', 'a sandbox id');
  verb('attach', 'open a shell in a sandbox from this terminal', (config, command) =>
    withSession(config, (session) =>
      attach(session, command.args[0] ?? '', dependencies.keyboard(), terminal),
    ),
  ).argument('<id>', 'a sandbox id');
}

function addImageVerbs(dependencies: Dependencies, terminal: Terminal, verb: AddVerb): void {
  verb('import', 'import a root file system as the runtime NAME', (config, command) => {
    const [name = '', archive = ''] = command.args;
    const maxSize = String(command.getOptionValue('maxSize'));
    const image = textOption(command, 'image') ?? undefined;
    return dependencies.withImages(config, (images) =>
      importImage(images, { name, archive, image, maxSize }, terminal),
    );
  })
    .argument('<name>', 'the name to use as `runtime`')
    .argument(
      '<archive>',
      'a tar archive (plain, gzip or zstd) of a root file system or a container image, or a directory of the latter',
    )
    .option('--image <name>', 'which image, if the archive contains several')
    .option('--max-size <size>', 'maximum size once unpacked', DEFAULT_MAX_SIZE);
  verb(
    'build',
    'build the image of a folder with buildah or Docker, as the runtime NAME',
    (config, command) => {
      const [name = '', directory = ''] = command.args;
      const maxSize = String(command.getOptionValue('maxSize'));
      return dependencies.withImages(config, (images) =>
        buildImage(images, { name, directory, maxSize, searchPath: config.searchPath }, terminal),
      );
    },
  )
    .argument('<name>', 'the name to use as `runtime`')
    .argument('<folder>', 'a folder with a Dockerfile, a Containerfile or a devcontainer.json')
    .option('--max-size <size>', 'maximum size once unpacked', DEFAULT_MAX_SIZE);
  verb('pull', 'pull an image from its registry', (config, command) => {
    const [reference = ''] = command.args;
    const maxSize = String(command.getOptionValue('maxSize'));
    return dependencies.withImages(config, (images) => pullImage(images, { reference, maxSize }, terminal));
  })
    .argument('<reference>', 'such as python:3.13-slim or registry.example/app@sha256:…')
    .option('--max-size <size>', 'maximum size of the download and once unpacked', DEFAULT_MAX_SIZE);
  verb('prune', 'remove the pulled images that nothing uses', (config) =>
    dependencies.withImages(config, (images) => pruneImages(images, terminal)),
  );
  verb('list', 'list the images', (config, command) =>
    dependencies.withImages(config, (images) =>
      listImages(images, { json: hasOption(command, 'json') }, Date.now(), terminal),
    ),
  ).option('--json', 'print the images as JSON');
  verb('remove', 'remove an image that no sandbox or snapshot uses', (config, command) =>
    dependencies.withImages(config, (images) => removeImage(images, command.args[0] ?? '', terminal)),
  ).argument('<name>', 'an image, or the reference it was pulled as');
}

function addVolumeVerbs(dependencies: Dependencies, terminal: Terminal, verb: AddVerb): void {
  verb('list', 'list the volumes', (config, command) =>
    dependencies.withVolumes(config, (volumes) =>
      listVolumes(volumes, { json: hasOption(command, 'json') }, Date.now(), terminal),
    ),
  ).option('--json', 'print the volumes as JSON');
  verb('remove', 'remove a volume that no sandbox uses, with its files', (config, command) => {
    const request = { name: command.args[0] ?? '', principal: String(command.getOptionValue('principal')) };
    return dependencies.withVolumes(config, (volumes) => removeVolume(volumes, request, terminal));
  })
    .argument('<name>', 'the name of a volume')
    .option('--principal <name>', 'whose volume, on a server that authenticates its clients', 'local');
  verb('prune', 'remove every volume that no sandbox uses', (config) =>
    dependencies.withVolumes(config, (volumes) => pruneVolumes(volumes, terminal)),
  );
}

function addFlags(program: Command, given: Map<FlagName, string[]>): void {
  for (const flag of FLAGS) {
    const shape = flag.value === null ? `--${flag.name}` : `--${flag.name} <${flag.value}>`;
    program.addOption(new Option(shape, `${flag.description} Default: ${flag.default}.`));
    program.on(`option:${flag.name}`, (value: unknown) => {
      const text = typeof value === 'string' ? value : 'true';
      given.set(flag.name, [...(given.get(flag.name) ?? []), text]);
    });
  }
}

function hasOption(command: Command, name: string): boolean {
  const value: unknown = command.getOptionValue(name);
  return value === true;
}

function textOption(command: Command, name: string): string | null {
  const value: unknown = command.getOptionValue(name);
  return typeof value === 'string' ? value : null;
}
