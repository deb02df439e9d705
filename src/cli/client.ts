/** The API from the command line: dials CONTROL_URL, with the token where one is known. */
import type { WritesReport } from '../api/schemas-switch.ts'
import { readToken } from '../api/token.ts'
import type { ClientConfig } from '../config.ts'
import { Failure, messageOf } from '../core/errors.ts'
import { isLoopback } from '../core/loopback.ts'
import type {
  LagReport,
  QuarantineReport,
  RetryReport,
  StatusReport,
  VerifyReport,
  VerifyRequest,
} from '../core/operator.ts'
import { maskUrl } from '../core/secrets.ts'
import type { SwitchRequest, SwitchRun } from '../core/switch-run.ts'

const TIMEOUT_MS = 5000
/** A pause waits for the batch in flight; a retry transfers rows. */
const COMMAND_TIMEOUT_MS = 60_000
const REPORT_TIMEOUT_MS = 25_000
const MARKDOWN = 'text/markdown'

export interface Client {
  lag(): Promise<LagReport>
  status(): Promise<StatusReport>
  pauseReplication(reason: string): Promise<LagReport>
  resumeReplication(): Promise<LagReport>
  quarantine(limit: number): Promise<QuarantineReport>
  retryQuarantine(): Promise<RetryReport>
  /** Refused with status 409 while a run is going on. */
  startVerify(request: VerifyRequest): Promise<VerifyReport>
  verification(): Promise<VerifyReport>
  /**
   * Waits for the end of the run, however long that is; the run goes on where this is aborted. What is refused comes
   * with the run or the guards in its facts.
   */
  switchAuthority(request: SwitchRequest, signal: AbortSignal): Promise<SwitchRun>
  switchRun(): Promise<SwitchRun>
  finalize(confirm: string): Promise<LagReport>
  pauseWrites(reason: string, seconds: number): Promise<WritesReport>
  resumeWrites(): Promise<WritesReport>
  /** Markdown. */
  report(): Promise<string>
}

/** Every call throws a Failure: `daemon_unreachable` (exit 5), or what the daemon refused (exit 1). */
export async function createClient(config: ClientConfig): Promise<Client> {
  const { hostname } = new URL(config.controlUrl)
  // The token in the file is for the daemon of this machine; no other server gets to see it.
  const token = config.controlToken ?? (isLoopback(hostname) ? await readToken(config.stateDir) : undefined)
  const { controlUrl: url } = config
  // The shape is the server's word: both are one version, as the package brings them.
  const request = async <T>(method: 'GET' | 'POST', path: string, body?: object, signal?: AbortSignal) =>
    json(url, await send({ url, method, path, body, token, signal })) as T
  return {
    lag: () => request('GET', '/lag'),
    status: () => request('GET', '/status'),
    pauseReplication: (reason) => request('POST', '/replication/pause', { reason }),
    resumeReplication: () => request('POST', '/replication/resume'),
    quarantine: (limit) => request('GET', `/quarantine?limit=${limit}`),
    retryQuarantine: () => request('POST', '/quarantine/retry'),
    startVerify: (body) => request('POST', '/verify', body),
    verification: () => request('GET', '/verify'),
    switchAuthority({ passage, verify, force, ...usual }, signal) {
      const body = { ...usual, ...(passage === 'switchover' ? { verify } : { force }) }
      return request('POST', `/${passage}`, body, signal)
    },
    switchRun: () => request('GET', '/switchover'),
    finalize: (confirm) => request('POST', '/finalize', { confirm }),
    pauseWrites: (reason, seconds) => request('POST', '/writes/pause', { reason, for_seconds: seconds }),
    resumeWrites: () => request('POST', '/writes/resume'),
    async report() {
      const signal = AbortSignal.timeout(REPORT_TIMEOUT_MS)
      const answer = await send({ url, method: 'GET', path: '/report', token, signal, accept: MARKDOWN })
      if (answer.type.startsWith(MARKDOWN)) return answer.text
      json(url, answer)
      throw unreachable(url, 'what answers there is not slipway')
    },
  }
}

interface Call {
  readonly url: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: object | undefined
  readonly token: string | undefined
  /** Default: the usual patience. */
  readonly signal?: AbortSignal | undefined
  readonly accept?: string
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly text: string
}

async function send({ url, method, path, body, token, signal, accept }: Call): Promise<Answer> {
  const patience = method === 'GET' ? TIMEOUT_MS : COMMAND_TIMEOUT_MS
  try {
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: {
        accept: accept ?? 'application/json',
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
      // A redirect would carry the token to somebody else.
      redirect: 'error',
      signal: signal ?? AbortSignal.timeout(patience),
    })
    const type = answer.headers.get('content-type') ?? ''
    return { status: answer.status, type, text: await answer.text() }
  } catch (error) {
    throw unreachable(url, reasonOf(error))
  }
}

function json(url: string, { status, text }: Answer): Record<string, unknown> {
  const value = parse(text)
  if (value === undefined) throw unreachable(url, 'what answers there is not slipway')
  if (status >= 400) throw refusal(status, value)
  return value
}

function unreachable(url: string, reason: string): Failure {
  return new Failure({
    code: 'daemon_unreachable',
    message: `no daemon at ${maskUrl(url)}: ${reason}`,
    remedy: 'Start it (slipway start), or set CONTROL_URL to where it listens.',
    policy: 'transient',
    exit: 5,
  })
}

function refusal(status: number, value: Record<string, unknown>): Failure {
  const { code, detail, remedy, type: _type, title: _title, status: _status, ...facts } = value
  return new Failure({
    code: typeof code === 'string' ? code : 'refused',
    message: typeof detail === 'string' ? detail : `the daemon answered ${status}`,
    ...(typeof remedy === 'string' && { remedy }),
    exit: 1,
    status,
    facts,
  })
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return 'no answer in time'
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  return (cause as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'nothing listens there' : messageOf(cause)
}
