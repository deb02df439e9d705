/**
 * What Node refuses before a request reaches a route: bytes that are no HTTP, headers that are too long, a client
 * that is too slow, an expectation, CONNECT. Answered as every other error is.
 */
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { PROBLEM_JSON, type ProblemDetails, problem } from './problem.ts'

const REFUSALS: Readonly<Record<string, ProblemDetails>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'headers_too_large',
    detail: "The request's headers are too large.",
    remedy: 'Send less than 16 KiB of headers.',
  },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: {
    status: 413,
    code: 'body_too_large',
    detail: 'The body is too large.',
    remedy: 'Send less than 16 KiB.',
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: 'request_timeout',
    detail: 'The request did not come in time.',
    remedy: 'Send it at once, with all of its body.',
  },
}
const NO_HTTP: ProblemDetails = {
  status: 400,
  code: 'invalid_http',
  detail: 'This is not valid HTTP.',
  remedy: 'See /docs for what it takes.',
}

/** For Fastify's `clientErrorHandler`: the last answer on this connection. */
export function refuseConnection(error: NodeJS.ErrnoException, socket: Duplex): void {
  // Where an answer has begun, a second one would be taken for a part of it. Node itself looks at this field.
  const { _httpMessage: begun } = socket as { _httpMessage?: { headersSent: boolean } | null }
  if (error.code === 'ECONNRESET' || !socket.writable || begun?.headersSent) socket.destroy(error)
  else answer(socket, REFUSALS[error.code ?? ''] ?? NO_HTTP)
}

/** Takes what Node would otherwise answer by itself, or not at all. */
export function answerProtocolErrors(server: Pick<Server, 'on'>): void {
  server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    const body = problem({
      status: 417,
      code: 'expectation_failed',
      detail: 'No expectation but 100-continue is met here.',
      remedy: 'Leave the Expect header out.',
    })
    response.writeHead(body.status, { 'content-type': PROBLEM_JSON }).end(JSON.stringify(body))
  })
  server.on('connect', (_request: IncomingMessage, socket: Duplex) =>
    answer(socket, {
      status: 405,
      code: 'method_not_allowed',
      detail: 'This is no proxy.',
      remedy: 'Use GET or POST; /docs lists all.',
    }),
  )
}

function answer(socket: Duplex, details: ProblemDetails): void {
  const body = JSON.stringify(problem(details))
  const head = [
    `HTTP/1.1 ${details.status} ${STATUS_CODES[details.status]}`,
    `content-type: ${PROBLEM_JSON}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  // A peer that is gone is no error any more.
  socket.on('error', () => {})
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}
