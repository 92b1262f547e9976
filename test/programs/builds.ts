/** Compilers and build tools: a build, and a test run, of a small project each. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { isDebian, type Machine, NEEDED, openMachine } from './support/machine.ts';

const GO_TEST = `package sum
import "testing"
func TestSum(t *testing.T) {
  done := make(chan int)
  go func() { done <- Sum(40, 2) }()
  if got := <-done; got != 42 { t.Fatal(got) }
}
`;
const ANT = `<project default="jar">
  <target name="jar">
    <mkdir dir="out"/>
    <javac srcdir="src" destdir="out" includeantruntime="false"/>
    <jar destfile="app.jar" basedir="out"><manifest><attribute name="Main-Class" value="App"/></manifest></jar>
  </target>
</project>
`;
const JAVA = `public class App {
  public static void main(String[] args) {
    var heap = Runtime.getRuntime().maxMemory() >> 20;
    System.out.println(java.util.stream.IntStream.rangeClosed(1, 100).parallel().sum() + " " + (heap < 4096));
  }
}
`;
const ADDON = `#include <node_api.h>
static napi_value Answer(napi_env env, napi_callback_info info) {
  napi_value value;
  napi_create_int32(env, 42, &value);
  return value;
}
NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "answer", NAPI_AUTO_LENGTH, Answer, NULL, &function);
  return function;
}
`;

describe('builds', needs(NEEDED, isDebian), () => {
  let machine: Machine;

  beforeAll(async () => {
    machine = await openMachine();
  });

  afterAll(() => machine?.close());

  it('Go: a test with the race detector', async () => {
    await machine.install('golang-go', 'gcc', 'libc6-dev');
    const files = {
      'go.mod': 'module sum\n',
      'sum.go': 'package sum\nfunc Sum(a, b int) int { return a + b }\n',
    };
    await machine.write({ ...files, 'sum_test.go': GO_TEST }, 'go');
    expect(await machine.output('go test -race ./...', { cwd: 'go' })).toMatch(/^ok\s+sum/);
  });

  it('cargo: a build, a test and the program', async () => {
    await machine.install('cargo');
    await machine.output('cargo init --offline --quiet --name hello rust');
    expect(await machine.output('cargo run --offline --quiet --release', { cwd: 'rust' })).toBe(
      'Hello, world!\n',
    );
    await machine.write({ 'src/lib.rs': '#[test]\nfn works() { assert_eq!(40 + 2, 42); }\n' }, 'rust');
    expect(await machine.output('cargo test --offline --lib', { cwd: 'rust' })).toContain('1 passed');
  });

  it('node-gyp: a native module for the installed Node', async () => {
    await machine.install('make', 'g++', 'python3');
    const binding = { targets: [{ target_name: 'answer', sources: ['answer.c'] }] };
    await machine.write(
      { 'package.json': '{}', 'answer.c': ADDON, 'binding.gyp': JSON.stringify(binding) },
      'addon',
    );
    await machine.output('npm install node-gyp', { cwd: 'addon' });
    await machine.output(
      'npx node-gyp rebuild --nodedir="$(dirname $(dirname $(realpath $(command -v node))))"',
      {
        cwd: 'addon',
      },
    );
    const script = `console.log(require('./build/Release/answer.node')())`;
    expect(await machine.output(`node -e "${script}"`, { cwd: 'addon' })).toBe('42\n');
  });

  it('strace and gdb: trace what they start and own processes, and say why another cannot be traced', async () => {
    await machine.install('strace', 'gdb');
    expect(await machine.output('strace -e trace=execve true 2>&1')).toMatch(
      /execve\("\S+\/true".*exited with 0/s,
    );
    const attach = 'sleep 100 & gdb --batch --pid $! -ex "print 6 * 7" 2>&1; kill $!';
    expect(await machine.output(attach)).toContain('= 42');
    const refused = await machine.server.call('sandbox_run_command', { cmd: 'strace', args: ['-p', '1'] });
    expect(refused.structured['next']).toContain('does not allow tracing');
  });

  it('the JVM: an Ant build and its program, which plans for the memory of the sandbox', async () => {
    await machine.install('default-jdk-headless', 'ant');
    await machine.write({ 'build.xml': ANT, 'src/App.java': JAVA }, 'java');
    expect(await machine.output('ant -quiet', { cwd: 'java' })).toContain('BUILD SUCCESSFUL');
    expect(await machine.output('java -jar app.jar', { cwd: 'java' })).toBe('5050 true\n');
  });
});
