/**
 * `npm run bench [copy] [apply] [verify] [-- --rows N --changes N --repeat N --json]`: how fast slipway is, beside what
 * people would use instead, in one run on one machine. `BENCH_POSTGRES_URL` names a server (a role that may
 * create databases); without it there is an embedded one. Not part of the tests.
 */
import { parseArgs } from 'node:util'
import { measureApply } from './apply.ts'
import { measureCopy } from './copy.ts'
import { machineFacts } from './machine.ts'
import { type Answer, answerLines } from './report.ts'
import { type Sizes, Stage } from './stage.ts'
import { measureVerify } from './verify.ts'

type Question = (stage: Stage, sizes: Sizes, tell: (line: string) => void) => Promise<Answer>

const QUESTIONS: Readonly<Record<string, Question>> = {
  copy: measureCopy,
  apply: measureApply,
  verify: measureVerify,
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '200000' },
    changes: { type: 'string', default: '50000' },
    repeat: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})

const sizes: Sizes = { rows: whole('rows'), changes: whole('changes'), repeat: whole('repeat') }
const names = positionals.length > 0 ? positionals : Object.keys(QUESTIONS)
const unknown = names.filter((name) => QUESTIONS[name] === undefined)
if (unknown.length > 0) usage(`There is no question "${unknown[0]}": ${Object.keys(QUESTIONS).join(', ')}.`)

const tell = (line: string) => void process.stderr.write(`${line}\n`)
const answers: Answer[] = []
await using stage = await Stage.open(tell)
const machine = await machineFacts(stage)
for (const name of names) {
  tell(`${name} …`)
  answers.push(await QUESTIONS[name]!(stage, sizes, tell))
}
if (values.json) console.log(JSON.stringify({ machine, sizes, answers }, null, 2))
else console.log(answerLines(machine, answers).join('\n'))

function whole(name: 'rows' | 'changes' | 'repeat'): number {
  const text = values[name]
  if (!/^[1-9]\d*$/.test(text)) usage(`--${name} is a whole number above zero, not "${text}".`)
  return Number(text)
}

function usage(message: string): never {
  console.error(message)
  process.exit(2)
}
