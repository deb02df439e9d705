/** Every error of the API as `application/problem+json` (RFC 9457), with a stable code and a remedy. */
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply } from 'fastify'
import { Failure } from '../core/errors.ts'

export const PROBLEM_JSON = 'application/problem+json; charset=utf-8'

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly remedy: string
  readonly [extension: string]: unknown
}

export interface ProblemDetails {
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly remedy: string
  readonly extensions?: Readonly<Record<string, unknown>>
}

export function problem({ status, code, detail, remedy, extensions }: ProblemDetails): Problem {
  const type = `urn:slipway:problem:${code}`
  return { ...extensions, type, title: STATUS_CODES[status] ?? 'Error', status, detail, code, remedy }
}

export function sendProblem(reply: FastifyReply, body: Problem): FastifyReply {
  // Serialized here: a route's response schemas are for its own answers.
  return reply.code(body.status).type(PROBLEM_JSON).serializer(JSON.stringify).send(body)
}

/** Failures speak for themselves, Fastify's own errors are about the request, the rest is a defect. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Failure) {
    const { status, code, message: detail, facts } = error
    const remedy = error.remedy ?? 'GET /status tells more.'
    return problem({ status, code, detail, remedy, extensions: facts })
  }
  const { statusCode = 500, code, message, validation } = error as Partial<FastifyError>
  if (validation !== undefined) {
    const detail = `The request is not valid: ${message}.`
    return problem({ status: 400, code: 'invalid_request', detail, remedy: 'See /docs for what it takes.' })
  }
  const known = REQUEST_ERRORS[code ?? '']
  if (known !== undefined) return problem({ status: statusCode, ...known })
  if (statusCode >= 400 && statusCode < 500) {
    const detail = message ?? 'The request cannot be understood.'
    return problem({
      status: statusCode,
      code: 'bad_request',
      detail,
      remedy: 'See /docs for what it takes.',
    })
  }
  const detail = 'Slipway met a defect.'
  return problem({
    status: 500,
    code: 'defect',
    detail,
    remedy: "The daemon's log has the details; report them.",
  })
}

const REQUEST_ERRORS: Readonly<Record<string, Pick<ProblemDetails, 'code' | 'detail' | 'remedy'>>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: {
    code: 'body_too_large',
    detail: 'The body is too large.',
    remedy: 'Send less than 16 KiB.',
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'unsupported_media_type',
    detail: 'The body is not JSON.',
    remedy: 'Send JSON with content-type: application/json.',
  },
  FST_ERR_CTP_INVALID_JSON_BODY: {
    code: 'invalid_json',
    detail: 'The body is not valid JSON.',
    remedy: 'Send a JSON object.',
  },
}
