/** What a question answers, and how it is shown. */

/** One way to do the work. */
export interface Contender {
  readonly name: string
  /** Of each repetition, in the order in which they ran. */
  readonly seconds: readonly number[]
  /** The most memory that the process has held (resident, MB), where it was measured. */
  readonly peaks?: readonly number[]
  /** What is and what is not in the time. */
  readonly note: string
}

export interface Answer {
  readonly question: string
  /** How much work each repetition is, e.g. rows. */
  readonly amount: number
  readonly unit: string
  readonly slipway: Contender
  readonly peers: readonly Contender[]
}

export type Machine = Readonly<Record<string, string>>

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}

export function answerLines(machine: Machine, answers: readonly Answer[]): string[] {
  return [
    ...Object.entries(machine).map(([name, value]) => `${name.padEnd(12)}${value}`),
    ...answers.flatMap((answer) => [
      '',
      `${answer.question} (${answer.amount.toLocaleString('en-US')} ${answer.unit}, median of ${answer.slipway.seconds.length})`,
      ...[answer.slipway, ...answer.peers].map((contender) => line(answer, contender)),
      ...[answer.slipway, ...answer.peers].map(({ name, note }) => `  ${name}: ${note}`),
    ]),
  ]
}

function line({ amount, unit, slipway }: Answer, { name, seconds, peaks }: Contender): string {
  const time = median(seconds)
  const rate = Math.round(amount / time).toLocaleString('en-US')
  const ratio = median(slipway.seconds) / time
  const all = seconds.map((value) => value.toFixed(2)).join(' ')
  const compared = name === slipway.name ? '' : `   slipway takes ${ratio.toFixed(2)} of its time`
  const memory = peaks === undefined ? '' : `   ${Math.max(...peaks).toFixed(0)} MB`
  return `  ${name.padEnd(26)}${time.toFixed(2).padStart(8)} s ${rate.padStart(10)} ${unit}/s   [${all}]${memory}${compared}`
}
