/** Web development: a browser behind header rules, and a development server with hot reload. */
import { execFileSync } from 'node:child_process';
import { imageSize } from 'image-size';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { z } from 'zod';
import { needs } from '../support/needs.ts';
import { openPage } from './support/bidi.ts';
import { isDebian, type Machine, NEEDED, openMachine } from './support/machine.ts';

/**
 * The npm registry that this machine uses: a site with TLS that can be reached wherever the project can be
 * installed.
 */
const SITE = new URL(execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim());
const PAGE = new URL('is-number/7.0.0', SITE).href;
/** In the page and not in its address, which error pages show. */
const CONTENT = 'is-number@7.0.0';
const RULES = {
  mode: 'custom',
  allow: ['*'],
  rules: [{ domain: SITE.hostname, headers: { 'x-sandbox-test': 'yes' } }],
};
const CHROMIUM = 'chromium --headless=new --no-sandbox --disable-gpu';
const JAVA = `import java.net.URL;
public class Get {
  public static void main(String[] args) throws Exception {
    var connection = (javax.net.ssl.HttpsURLConnection) new URL(args[0]).openConnection();
    System.out.println(connection.getResponseCode());
    System.out.println(connection.getServerCertificates()[0].toString().contains("sandbox-mcp"));
  }
}
`;

const GO = `package main
import ("fmt"; "io"; "net/http"; "os")
func main() {
  answer, err := http.Get(os.Args[1])
  if err != nil { fmt.Println(err); os.Exit(1) }
  body, _ := io.ReadAll(answer.Body)
  fmt.Println(string(body), answer.TLS.PeerCertificates[0].Issuer)
}
`;
/** Fetches `PAGE` and prints it. */
const SCRIPT = `console.log(await (await fetch('${PAGE}')).text())`;
/** Not a Python package, which pip says once it has downloaded and unpacked it. */
const ARCHIVE = new URL('is-number/-/is-number-7.0.0.tgz', SITE).href;

interface Client {
  packages?: string[];
  /** Prints what it fetched. */
  script: string;
  /** What that contains; by default the content of the page. */
  shows?: RegExp | string;
}

/** TLS clients that bring a list of CAs, or a way to find it, of their own. */
const CLIENTS: Record<string, Client> = {
  Ruby: { packages: ['ruby'], script: `ruby -ropen-uri -e 'puts URI.open("${PAGE}").read'` },
  Go: { packages: ['golang-go'], script: `go run get.go ${PAGE}` },
  Deno: {
    script: 'npm install --no-save deno >/dev/null && npx deno run --allow-net --allow-env get.mjs',
  },
  Bun: { script: 'npm install --no-save bun >/dev/null && npx bun run get.mjs' },
  requests: {
    packages: ['python3-requests'],
    script: `/usr/bin/python3 -c 'import requests; print(requests.get("${PAGE}").text)'`,
  },
  pip: {
    packages: ['python3-pip'],
    script: `/usr/bin/python3 -m pip download --no-deps --no-input ${ARCHIVE} 2>&1 || true`,
    shows: 'does not appear to be a Python project',
  },
  apt: { script: `/usr/lib/apt/apt-helper download-file ${PAGE} page >/dev/null && cat page` },
  cargo: {
    packages: ['cargo'],
    script: `cargo init --quiet --vcs none --name fetcher fetcher && cd fetcher &&
      echo 'number = { git = "${new URL('is-number', SITE).href}" }' >> Cargo.toml && cargo fetch 2>&1 || true`,
    // Libgit2's words for an answer that came through TLS.
    shows: /got 404|status code: 404/,
  },
};

describe('programs of the web', needs(NEEDED, isDebian), () => {
  let machine: Machine;

  beforeAll(async () => {
    machine = await openMachine(RULES);
  });

  afterAll(() => machine?.close());

  it('Chromium: opens a page of a site with header rules, and takes a screenshot', async () => {
    await machine.install('chromium', 'fonts-dejavu-core');
    expect(await machine.output(`${CHROMIUM} --dump-dom ${PAGE}`)).toContain(CONTENT);
    await machine.output(`${CHROMIUM} --window-size=640,480 --screenshot=shot.png ${PAGE}`);
    const shot = await machine.server.call('sandbox_read_file', { path: 'shot.png' });
    expect(shot.text).toContain('image: image/png, 640 × 480');
    // A page of one colour takes a few hundred bytes.
    expect(Number(/^size_bytes: (\d+)$/m.exec(shot.text)?.[1])).toBeGreaterThan(5_000);
  });

  it('Chromium: trusts the gateway by its policy alone', async () => {
    const policies = '/etc/chromium/policies/managed';
    expect(await machine.output(`ls ${policies}`)).toContain('sandbox-mcp.json\n');
    await machine.output(`mv ${policies} /tmp/policies`, { sudo: true });
    const refused = (await machine.run(`${CHROMIUM} --dump-dom ${PAGE}`)).stdout;
    await machine.output(`mv /tmp/policies ${policies}`, { sudo: true });
    expect(refused).not.toContain(CONTENT);
  });

  it('Firefox: opens a page of a site with header rules, and takes a screenshot', async () => {
    await machine.install('firefox-esr');
    await machine.start(
      'mkdir -p ~/firefox && firefox-esr --headless --profile ~/firefox --remote-debugging-port 9222',
    );
    const browser = await machine.url(9222);
    await expect
      .poll(() =>
        fetch(browser).then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBeGreaterThan(0);
    const { text, png } = await openPage(browser, 9222, PAGE);
    expect(text).toContain(CONTENT);
    expect(imageSize(png)).toMatchObject({ type: 'png' });
  });

  it('Java: trusts the gateway', async () => {
    await machine.install('default-jdk-headless');
    await machine.write({ 'Get.java': JAVA });
    expect(await machine.output(`java Get.java ${PAGE}`)).toBe('200\ntrue\n');
  });

  it.each(Object.entries(CLIENTS))('%s: trusts the gateway', async (_name, { packages, script, shows }) => {
    if (packages !== undefined) await machine.install(...packages);
    await machine.write({ 'get.go': GO, 'get.mjs': SCRIPT });
    const fetched = await machine.output(script);
    if (shows instanceof RegExp) expect(fetched).toMatch(shows);
    else expect(fetched).toContain(shows ?? CONTENT);
  });

  it('vite: shows the host an edit at once, through the port of the sandbox', async () => {
    const files = {
      'package.json': '{"type": "module"}',
      'index.html': '<script type="module" src="/main.js"></script>',
      'main.js':
        'import { text } from "./text.js"; document.body.append(text); import.meta.hot?.accept("./text.js");',
      'text.js': 'export const text = "before";',
    };
    await machine.write(files, 'site');
    await machine.output('npm install vite', { cwd: 'site' });
    await machine.start('npx vite --host 0.0.0.0 --port 5173', { cwd: 'site' });
    const url = await machine.url(5173);
    const get = async (path: string) => (await fetch(new URL(path, url))).text();
    await expect.poll(() => get('/').catch(() => '')).toContain('/@vite/client');
    expect(await get('/main.js')).toContain('/text.js');
    await get('/text.js');
    const token = /const wsToken = "([^"]*)"/.exec(await get('/@vite/client'))?.[1] ?? '';
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/?token=${token}`, 'vite-hmr');
    const messages: string[] = [];
    const connected = new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.on('message', (data) => {
        messages.push(String(data));
        resolve(null);
      });
    });
    try {
      await connected;
      await machine.write({ 'text.js': 'export const text = "after";' }, 'site');
      const update = z.object({
        type: z.literal('update'),
        updates: z.array(z.object({ path: z.string() })),
      });
      await expect
        .poll(() => messages.map((text) => update.safeParse(JSON.parse(text)).data).find(Boolean))
        .toMatchObject({ updates: [{ path: '/main.js' }] });
      expect(await get('/text.js')).toContain('after');
    } finally {
      socket.close();
    }
  });
});
