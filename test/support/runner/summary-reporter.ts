/** Ends the output of a run with its summary, and writes its totals to the file that TEST_TOTALS names. */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, TestCase, TestModule, TestSuite, Vitest } from 'vitest/node';
import { type FileReport, summary, type TestReport, totals, totalsLine } from './run-summary.ts';

export default class SummaryReporter implements Reporter {
  #vitest: Vitest | null = null;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
    // So that numbers of an earlier run are never mistaken for this one's, however it ends.
    this.#writeTotals([]);
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const vitest = this.#vitest;
    if (vitest === null) return;
    // Tests not selected by name have no reason.
    const unselected = vitest.config.testNamePattern === undefined ? undefined : 'not selected by name';
    const files = modules.map((module) => fileReport(module, vitest.config.root, unselected));
    this.#writeTotals(files);
    vitest.logger.log(`\n${summary(files, vitest.config.env['SEED'] ?? '')}`);
  }

  #writeTotals(files: readonly FileReport[]): void {
    const path = process.env['TEST_TOTALS'];
    if (path !== undefined) writeFileSync(path, `${totalsLine(totals(files))}\n`);
  }
}

function fileReport(module: TestModule, root: string, unselected: string | undefined): FileReport {
  const { duration, collectDuration } = module.diagnostic();
  const suites = [...module.children.allSuites()];
  return {
    path: relative(root, module.moduleId),
    project: module.project.name,
    durationMs: duration + collectDuration,
    failedOutsideTests: module.errors().length > 0 || suites.some((suite) => suite.errors().length > 0),
    tests: [...module.children.allTests()].map((test) => testReport(test, unselected)),
  };
}

function testReport(test: TestCase, unselected: string | undefined): TestReport {
  const result = test.result();
  const groups = groupsOf(test);
  const names = [...groups.map(({ name }) => name), test.name];
  // A test that did not run because a hook of its group failed says nothing about the product.
  const state = result.state === 'pending' ? 'skipped' : result.state;
  const note = result.state === 'skipped' ? result.note : undefined;
  const needed = [test, ...groups].map((task) => task.meta().needs).find((needs) => needs !== undefined);
  return { names, state, reason: note ?? (needed === undefined ? unselected : `needs ${needed}`) };
}

/** Outermost first. */
function groupsOf(test: TestCase): TestSuite[] {
  const groups: TestSuite[] = [];
  for (let at = test.parent; at.type === 'suite'; at = at.parent) groups.unshift(at);
  return groups;
}
