/**
 * `npm run check:mutations`: takes one invariant after the other out of a copy of the source, and runs the tests that
 * have to notice. Exit code 1 where a mutation survives, or where a test fails without any.
 *
 *     npm run check:mutations -- --only no-token,fence-by-raise --keep
 */
import { parseArgs } from 'node:util'
import { Copy } from './copy.ts'
import { MUTATIONS, type Mutation, type NamedTest } from './mutations.ts'

type Outcome = Awaited<ReturnType<Copy['run']>>[number]

interface Row {
  readonly mutation: string
  readonly file: string
  readonly outcome: Outcome
}

const { values } = parseArgs({
  options: { only: { type: 'string' }, keep: { type: 'boolean', default: false } },
})
const only = values.only?.split(',')
const unknown = only?.filter((code) => !MUTATIONS.some((mutation) => mutation.code === code)) ?? []
if (unknown.length > 0) {
  process.stderr.write(`no mutation ${unknown.join(', ')}; there are ${MUTATIONS.map(codeOf).join(', ')}\n`)
  process.exit(2)
}
const chosen = MUTATIONS.filter(({ code }) => only === undefined || only.includes(code))

const started = Date.now()
const rows: Row[] = []
const wrong: string[] = []

// First without any: a test that fails by itself would prove nothing.
const intact = await attempt('intact', [], unique(chosen.flatMap(({ tests }) => tests)))
for (const { test, state, message } of intact) {
  if (state !== 'passed') wrong.push(`without a mutation "${test.name}" has ${state}: ${message}`)
}
say(
  `without a mutation: ${intact.filter(({ state }) => state === 'passed').length} of ${intact.length} tests pass`,
)

for (const mutation of wrong.length > 0 ? [] : chosen) {
  const outcomes = await attempt(mutation.code, mutation.edits, mutation.tests)
  for (const outcome of outcomes) {
    const file = [...new Set(mutation.edits.map((edit) => edit.file))].join(', ')
    rows.push({ mutation: mutation.what, file, outcome })
    if (outcome.state !== 'failed')
      wrong.push(`${mutation.code}: "${outcome.test.name}" has ${outcome.state}`)
  }
  say(`${mutation.code}: ${outcomes.every(({ state }) => state === 'failed') ? 'found' : 'NOT FOUND'}`)
}

if (rows.length > 0) process.stdout.write(`\n${asMarkdown(rows)}\n`)
for (const line of wrong) process.stdout.write(`${line}\n`)
const found = chosen.filter(({ what }) => {
  const of = rows.filter(({ mutation }) => mutation === what)
  return of.length > 0 && of.every(({ outcome }) => outcome.state === 'failed')
}).length
process.stdout.write(
  `${found} of ${chosen.length} mutations were found by every test that is named for them, ${Math.round((Date.now() - started) / 1000)} s\n`,
)
process.exitCode = wrong.length === 0 ? 0 : 1

async function attempt(
  code: string,
  edits: Mutation['edits'],
  tests: readonly NamedTest[],
): Promise<readonly Outcome[]> {
  using copy = Copy.of(code, values.keep)
  for (const edit of edits) copy.apply(edit)
  return await copy.run(tests)
}

function unique(tests: readonly NamedTest[]): NamedTest[] {
  return [...new Map(tests.map((test) => [`${test.file} ${test.name}`, test])).values()]
}

function codeOf({ code }: Mutation): string {
  return code
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

function asMarkdown(all: readonly Row[]): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|')
  const lines = all.map(
    ({ mutation, file, outcome: { test, state, message } }) =>
      `| ${cell(mutation)} | ${file} | ${test.file}: ${cell(test.name)} | ${state === 'failed' ? cell(message) : state.toUpperCase()} |`,
  )
  return [
    '| invariant taken out | in | test | how it failed |',
    '| --- | --- | --- | --- |',
    ...lines,
    '',
  ].join('\n')
}
