/**
 * Keeps secrets out of everything that people and machines read: logs, errors, answers. A URL is masked where
 * it is printed on purpose; `scrubber` is the net below, for texts that other people's code has written.
 */

const MASK = '***'

/** `postgres://user:secret@host/db` → `postgres://user:***@host/db`; anything else stays as it is. */
export function maskUrl(url: string): string {
  // Greedy up to the last @: a password that was not percent-encoded may hold one.
  return url
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^:/?#@\s]*):.*@/i, `$1:${MASK}@`)
    .replace(QUERY_PASSWORD, `$1${MASK}`)
}

const QUERY_PASSWORD = /([?&](?:password|sslpassword)=)[^&\s"']+/gi
// PASSWORD in capitals is an example's.
const URL_PASSWORD = /(\b[a-z][a-z0-9+.-]*:\/\/[^:/?#@\s"']*):(?!PASSWORD@)[^\s"'/@]+@/gi

export interface Secrets {
  readonly postgresUrl?: string | undefined
  readonly tokens?: readonly (string | undefined)[]
}

/**
 * A function that masks the configured password and tokens, wherever they stand, as they are and
 * percent-encoded or JSON-escaped, and the password of any other URL. A password that is also a name in its
 * URL (`postgres:postgres@`) is masked inside URLs only: elsewhere it could not be told from the name.
 */
export function scrubber(secrets: Secrets): (text: string) => string {
  const words = new Set<string>()
  for (const secret of [...passwordsOf(secrets.postgresUrl), ...(secrets.tokens ?? [])]) {
    if (secret === undefined || secret.length < 4) continue
    for (const form of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)])
      words.add(form)
  }
  // Longest first: one form may be the start of another.
  const sorted = [...words].toSorted((a, b) => b.length - a.length)
  return (text) => {
    let clean = text.replace(URL_PASSWORD, `$1:${MASK}@`).replace(QUERY_PASSWORD, `$1${MASK}`)
    for (const word of sorted) clean = clean.replaceAll(word, MASK)
    return clean
  }
}

/** The password as written and as decoded, unless it is no more than a name that stands in the URL anyway. */
function passwordsOf(url: string | undefined): string[] {
  const match = /^[a-z][a-z0-9+.-]*:\/\/([^:/?#@]*):(.*)@([^@]*)$/i.exec(url ?? '')
  if (!match) return []
  const [, user = '', password = '', rest = ''] = match
  const names = [user, ...rest.split(/[/:?]/), 'postgres', 'postgresql', 'slipway', 'sqlite', 'embedded']
  return [...new Set([password, decoded(password)])].filter((word) => !names.includes(word))
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
