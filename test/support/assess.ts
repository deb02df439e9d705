/** `slipway assess` as a script uses it. */
import type { Assessment } from '../../src/core/assess/assessment.ts'
import type { Finding } from '../../src/core/finding.ts'
import type { Environment, Result } from './daemon.ts'
import type { Scenario } from './scenario.ts'

export interface Assessed {
  readonly result: Result
  readonly assessment: Assessment
  /** What blocks and what will be different, as `blocks text_nul t.a`; without what is true of every file here. */
  readonly serious: readonly string[]
  find(code: string, table?: string, column?: string): Finding | undefined
}

/** Of the Python that writes the files of the tests, and not of a file. */
const OF_THE_MACHINE = new Set(['wal_reset_bug'])

export async function assess(
  scenario: Scenario,
  args: readonly string[] = [],
  env: Environment = {},
): Promise<Assessed> {
  const result = await scenario.slipway.run(['assess', '--json', ...args], { env })
  let assessment: Assessment
  try {
    assessment = JSON.parse(result.stdout) as Assessment
  } catch {
    throw new Error(`assess ended with ${result.code}\n${result.stdout}\n${result.stderr}`)
  }
  if (assessment.findings === undefined) throw new Error(`assess ended with ${result.code}\n${result.stdout}`)
  return {
    result,
    assessment,
    serious: assessment.findings
      .filter(({ severity, code }) => severity !== 'info' && !OF_THE_MACHINE.has(code))
      .map(show)
      .toSorted(),
    find: (code, table, column) =>
      assessment.findings.find(
        (finding) =>
          finding.code === code &&
          (table === undefined || finding.table === table) &&
          (column === undefined || finding.column === column),
      ),
  }
}

function show({ severity, code, table, column }: Finding): string {
  const place = [table, column].filter((name) => name !== undefined).join('.')
  return `${severity} ${code}${place === '' ? '' : ` ${place}`}`
}
