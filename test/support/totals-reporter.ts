/**
 * Prints `N passed, N failed, N skipped` as the very last line of a run, and writes it to TEST_TOTALS_FILE
 * where that is set. What fails outside of a test (a file that does not load, a hook, an unhandled
 * rejection, the setup of the run) counts as one failed each, so that a red run never shows `0 failed`.
 */
import { writeFileSync, writeSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

export default class TotalsReporter implements Reporter {
  #totals = { passed: 0, failed: 0, skipped: 0 }

  onInit(): void {
    process.once('exit', (code) => {
      const { passed, failed, skipped } = this.#totals
      const line = `${passed} passed, ${failed === 0 && code !== 0 ? 1 : failed} failed, ${skipped} skipped\n`
      if (process.env.TEST_TOTALS_FILE) writeFileSync(process.env.TEST_TOTALS_FILE, line)
      writeSync(1, line)
    })
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const totals = { passed: 0, failed: unhandledErrors.length, skipped: 0 }
    for (const module of modules) {
      const before = totals.failed
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        totals[state === 'passed' || state === 'failed' ? state : 'skipped']++
      }
      if (module.state() === 'failed' && totals.failed === before) totals.failed++
    }
    this.#totals = totals
  }
}
