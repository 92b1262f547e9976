/**
 * The agent programs that run the job, pinned, and how each is configured with its model and the server.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface AgentSetup {
  /** The user's home, where the agent looks for its settings. */
  home: string;
  modelUrl: string;
  server: { command: string; args: string[] };
}

export interface Agent {
  readonly name: string;
  /** Its usual name. */
  readonly title: string;
  readonly package: string;
  /** The program, below `node_modules/.bin`. */
  readonly bin: string;
  readonly args: readonly string[];
  /** Writes the settings and returns the environment. */
  prepare(setup: AgentSetup): Promise<Record<string, string>>;
}

const PROMPT = 'Do the job in a sandbox.';

export const AGENTS: readonly Agent[] = [
  {
    name: 'codex',
    title: 'Codex',
    package: '@openai/codex@0.171.0',
    bin: 'codex',
    args: ['exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', PROMPT],
    async prepare({ home, modelUrl, server }) {
      const config = [
        'model = "scripted"',
        'model_provider = "scripted"',
        '[model_providers.scripted]',
        'name = "scripted"',
        `base_url = "${modelUrl}/v1"`,
        'wire_api = "responses"',
        '[mcp_servers.sandbox]',
        // Otherwise its first turn starts without the tools of a server that is still starting.
        'required = true',
        'startup_timeout_sec = 60',
        `command = ${JSON.stringify(server.command)}`,
        `args = ${JSON.stringify(server.args)}`,
      ];
      await write(home, '.codex/config.toml', config.join('\n'));
      return { CODEX_HOME: join(home, '.codex') };
    },
  },
  {
    name: 'copilot',
    title: 'Copilot CLI',
    package: '@github/copilot@1.0.102',
    bin: 'copilot',
    args: ['-p', PROMPT, '--allow-all-tools', '--disable-builtin-mcps'],
    async prepare({ home, modelUrl, server }) {
      const config = { mcpServers: { sandbox: { type: 'local', ...server, tools: ['*'] } } };
      await write(home, '.copilot/mcp-config.json', JSON.stringify(config));
      return {
        COPILOT_PROVIDER_TYPE: 'openai',
        COPILOT_PROVIDER_BASE_URL: `${modelUrl}/v1`,
        COPILOT_PROVIDER_API_KEY: 'none',
        COPILOT_MODEL: 'scripted',
        COPILOT_OFFLINE: 'true',
      };
    },
  },
  {
    name: 'gemini',
    title: 'Gemini CLI',
    package: '@google/gemini-cli@0.61.0',
    bin: 'gemini',
    args: ['-p', PROMPT, '--yolo', '--skip-trust'],
    async prepare({ home, modelUrl, server }) {
      const settings = {
        security: { auth: { selectedType: 'gemini-api-key' } },
        mcpServers: { sandbox: server },
      };
      await write(home, '.gemini/settings.json', JSON.stringify(settings));
      return { GEMINI_API_KEY: 'none', GOOGLE_GEMINI_BASE_URL: modelUrl, GEMINI_MODEL: 'gemini-2.5-flash' };
    },
  },
  {
    name: 'qwen',
    title: 'Qwen Code',
    package: '@qwen-code/qwen-code@0.24.4',
    bin: 'qwen',
    args: ['-p', PROMPT, '--yolo'],
    async prepare({ home, modelUrl, server }) {
      const settings = {
        security: { auth: { selectedType: 'openai' } },
        // By default the tools are behind a search, which a scripted model cannot use.
        tools: { toolSearch: { threshold: 100 } },
        mcpServers: { sandbox: server },
      };
      await write(home, '.qwen/settings.json', JSON.stringify(settings));
      return {
        OPENAI_API_KEY: 'none',
        OPENAI_BASE_URL: `${modelUrl}/v1`,
        OPENAI_MODEL: 'scripted',
        // Otherwise its first turn starts without the tools of a server that is still starting.
        QWEN_CODE_LEGACY_MCP_BLOCKING: '1',
      };
    },
  },
  {
    name: 'opencode',
    title: 'OpenCode',
    package: 'opencode-ai@1.18.33',
    bin: 'opencode',
    args: ['run', PROMPT],
    async prepare({ home, modelUrl, server: { command, args } }) {
      const provider = {
        npm: '@ai-sdk/openai-compatible',
        name: 'scripted',
        options: { baseURL: `${modelUrl}/v1`, apiKey: 'none' },
        models: { scripted: { name: 'scripted', tool_call: true } },
      };
      const settings = {
        $schema: 'https://opencode.ai/config.json',
        model: 'scripted/scripted',
        small_model: 'scripted/scripted',
        provider: { scripted: provider },
        permission: 'allow',
        autoupdate: false,
        share: 'disabled',
        mcp: { sandbox: { type: 'local', command: [command, ...args], enabled: true } },
      };
      await write(home, '.config/opencode/opencode.json', JSON.stringify(settings));
      return { XDG_CONFIG_HOME: join(home, '.config'), OPENCODE_DISABLE_MODELS_FETCH: '1' };
    },
  },
];

async function write(home: string, path: string, text: string): Promise<void> {
  const file = join(home, path);
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, `${text}\n`);
}
