// The dashboard without a build or a library. It reads /events by fetch, since EventSource sends no token; the
// token comes in the address's fragment, which no server and no log ever sees, and leaves the address at once.
const byId = (id) => document.getElementById(id)
const number = new Intl.NumberFormat('en')

const fragment = new URLSearchParams(location.hash.slice(1)).get('token')
if (fragment) {
  sessionStorage.setItem('token', fragment)
  history.replaceState(null, '', location.pathname)
}
const token = () => sessionStorage.getItem('token')
const headers = () => (token() ? { authorization: `Bearer ${token()}` } : {})

const show = {
  phase: ({ phase }) => {
    byId('phase').textContent = phase.replaceAll('_', ' ')
  },
  lag: (lag) => {
    show.phase(lag)
    byId('migration').textContent = lag.migration
    byId('state').textContent = lag.state
    byId('state').className = lag.state
    byId('reasons').textContent = lag.reasons.join('; ') || 'state'
    byId('lag').textContent = lag.lag_seconds === null ? '–' : `${lag.lag_seconds.toFixed(2)} s`
    byId('pending').textContent = number.format(lag.pending_changes)
    byId('position').textContent = `${place(lag.applied)} / ${place(lag.head)}`
    byId('authority').textContent = lag.authority
    byId('authority').dataset.engine = lag.authority
    document.title = `${lag.phase} · ${lag.pending_changes} to apply · slipway`
    void quarantine(lag.quarantined)
    void overview(`${lag.phase} ${lag.authority}`)
  },
  progress: ({ tables }) => byId('tables').replaceChildren(...tables.map(row)),
  verify: (run) => {
    const running = run.state === 'running'
    const expected = run.tables.reduce((sum, one) => sum + Math.max(one.rows_compared, one.rows_expected), 0)
    const bar = byId('verify-progress')
    bar.hidden = !running
    bar.max = Math.max(expected, 1)
    bar.value = run.rows_compared
    const differ = run.mismatched - run.repaired
    byId('verify-state').textContent = run.state === 'done' ? verdict(run, differ) : run.state
    byId('verify-state').className = differ > 0 || run.state === 'failed' ? 'blocked' : ''
    const rows = number.format(run.rows_compared)
    byId('verify-facts').textContent = [
      running ? `${rows} of ${number.format(expected)} rows` : `${rows} rows compared`,
      running && run.eta_seconds !== null && `${run.eta_seconds} s left`,
      run.finished_at !== null && new Date(run.finished_at).toLocaleString(),
      run.error,
    ]
      .filter(Boolean)
      .join(' · ')
    const found = run.tables.filter((one) => one.missing + one.extra + one.different > 0)
    byId('verify-tables').replaceChildren(...found.map(difference))
    byId('verify').disabled = byId('repair').disabled = running
  },
  status: ({ epoch, authority_since: since, fences, rollback_safe: safe }) => {
    byId('epoch').textContent = number.format(epoch)
    byId('since').textContent = since === null ? 'epoch' : `epoch, since ${new Date(since).toLocaleString()}`
    byId('fences').replaceChildren(...fences.map(fence))
    byId('rollback').textContent =
      safe === null ? '' : safe.safe ? 'rollback: safe' : `rollback: not safe, ${safe.reasons.join('; ')}`
    byId('rollback').className = safe?.safe === false ? 'blocked' : ''
  },
  switch: (run) => {
    const running = run.state === 'running'
    byId('switch-state').textContent = `${run.passage} ${run.state.replaceAll('_', ' ')}`
    byId('switch-state').className = ['undone', 'refused'].includes(run.state) ? 'blocked' : ''
    byId('switch-facts').textContent = [
      run.pause_ms !== null && `writes paused ${run.pause_ms.toFixed(1)} ms`,
      run.predicted_pause_ms !== null && `about ${run.predicted_pause_ms.toFixed(0)} ms expected`,
      run.drained_changes !== null && `${number.format(run.drained_changes)} changes drained`,
      run.finished_at !== null && new Date(run.finished_at).toLocaleString(),
      run.overrides.length > 0 && `overridden: ${run.overrides.join(', ')}`,
      run.reason,
    ]
      .filter(Boolean)
      .join(' · ')
    byId('switch-steps').replaceChildren(...run.steps.map(step))
    byId('guards-table').hidden = run.guards.length === 0
    byId('guards').replaceChildren(...run.guards.map(guard))
    byId('dry-run').disabled = running
    // Who leads has changed, or is about to.
    if (!running) stale()
  },
}

function fence({ engine, closed, reasons, until }) {
  const item = document.createElement('li')
  const end = until === null ? '' : `, until ${new Date(until).toLocaleString()}`
  item.textContent = `${engine} ${closed ? 'closed' : 'open'}${end}${reasons.length > 0 ? `: ${reasons.join('; ')}` : ''}`
  return item
}

const MARKS = { waiting: '·', running: '…', done: '✓', failed: '✗', skipped: '–' }
function step({ state, title, ms, detail }) {
  const item = document.createElement('li')
  item.className = state === 'failed' ? 'blocked' : ''
  item.textContent = [`${MARKS[state]} ${title}`, ms !== null && `${ms.toFixed(1)} ms`, detail]
    .filter(Boolean)
    .join(' · ')
  return item
}

function guard({ code, ok, overridden, value, limit, remedy, overridable }) {
  const verdict = ok ? '✓' : overridden ? '✗ overridden' : overridable ? '✗' : '✗ always'
  const text = (one) => (one === null ? '–' : Array.isArray(one) ? one.join(', ') || 'none' : String(one))
  return cells([[code], [verdict, ok || overridden ? '' : 'blocked'], [text(value)], [text(limit)], [remedy]])
}

// What no event tells is asked for when who leads has changed, and now and then.
const LOOK_EVERY_MS = 5000
let lookedAt = -Infinity
let lookedFor
function stale() {
  lookedAt = -Infinity
}
async function overview(what) {
  if (what === lookedFor && performance.now() - lookedAt < LOOK_EVERY_MS) return
  lookedFor = what
  lookedAt = performance.now()
  const answer = await fetch('status', { headers: headers() }).catch(() => undefined)
  // The connection's own line says what is wrong; it is asked again soon.
  if (answer?.ok) show.status(await answer.json())
}

// On the way back a position is a snapshot of PostgreSQL: the transaction that it goes up to is enough to see it move.
function place(position) {
  return /^\d+:(\d+):/.exec(position)?.[1] ?? position ?? '–'
}

function verdict(run, differ) {
  if (differ > 0) return `${number.format(differ)} rows differ`
  if (run.mismatched > 0) return `${number.format(run.mismatched)} rows repaired`
  return run.quarantined > 0 ? 'equal but for what is set aside' : 'equal'
}

function difference(table) {
  const item = document.createElement('li')
  const parts = ['missing', 'extra', 'different', 'repaired'].filter((kind) => table[kind] > 0)
  const counts = parts.map((kind) => `${number.format(table[kind])} ${kind}`).join(', ')
  item.textContent = `${table.table}: ${counts}`
  return item
}

// The lag tells the number each second; the rows are asked for when it has changed, and after a retry.
let shown
async function quarantine(rows) {
  if (rows === shown) return
  shown = rows
  byId('quarantine-count').textContent = number.format(rows)
  try {
    const answer = await fetch('quarantine?limit=20', { headers: headers() })
    const { total, entries, detail } = await answer.json()
    if (!answer.ok) throw new Error(detail)
    byId('quarantine-table').hidden = entries.length === 0
    byId('quarantine-entries').replaceChildren(...entries.map(aside))
    const more = total - entries.length
    byId('quarantine-more').textContent = more > 0 ? `and ${number.format(more)} more` : ''
  } catch (error) {
    byId('quarantine-more').textContent = error.message
    // Again at the next lag.
    shown = undefined
  }
}

function aside(entry) {
  const since = new Date(entry.since).toLocaleString()
  return cells([
    [`${entry.table} ${entry.key}`],
    [entry.column ?? ''],
    [`${entry.kind}: ${entry.reason}`],
    [entry.value ?? ''],
    [since],
  ])
}

function row(table) {
  const bar = document.createElement('progress')
  bar.max = Math.max(table.rows_expected, table.rows_copied, 1)
  bar.value = table.state === 'copied' ? bar.max : table.rows_copied
  bar.title = table.state
  const rows = `${number.format(table.rows_copied)} / ${number.format(table.rows_expected)}`
  const rate = table.rows_per_second === null ? '' : number.format(table.rows_per_second)
  const left = table.eta_seconds === null || table.state === 'copied' ? '' : `${table.eta_seconds} s`
  const name = table.target === table.table ? table.table : `${table.table} → ${table.target}`
  return cells([[name], [bar], [rows, 'number'], [rate, 'number'], [left, 'number']])
}

function cells(contents) {
  const line = document.createElement('tr')
  for (const [content, kind] of contents) {
    const cell = document.createElement('td')
    cell.append(content)
    if (kind) cell.className = kind
    line.append(cell)
  }
  return line
}

function connection(text, lost) {
  byId('connection').textContent = text
  byId('connection').className = lost ? 'lost' : ''
}

async function follow() {
  const answer = await fetch('events', { headers: { accept: 'text/event-stream', ...headers() } })
  byId('login').hidden = answer.status !== 401
  for (const id of ['actions', 'verify-actions', 'quarantine-actions', 'switch-actions'])
    byId(id).hidden = !answer.ok || !token()
  if (!answer.ok) throw new Error((await answer.json()).detail)
  connection('live', false)
  let text = ''
  for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    const events = text.split('\n\n')
    text = events.pop()
    for (const event of events) receive(event)
  }
}

function receive(event) {
  const fields = Object.fromEntries(event.split('\n').map((line) => line.split(/: (.*)/s)))
  if (fields.data) show[fields.event]?.(JSON.parse(fields.data))
}

async function command(path, body, said, done) {
  const options = { method: 'POST', headers: { ...headers(), 'content-type': 'application/json' } }
  try {
    const answer = await fetch(path, body ? { ...options, body: JSON.stringify(body) } : options)
    const result = await answer.json()
    byId(said).textContent = answer.ok ? done(result) : `${result.detail} ${result.remedy}`
  } catch (error) {
    byId(said).textContent = error.message
  }
}

const paused = (lag) => {
  show.lag(lag)
  return 'done'
}
const started = (run) => {
  show.verify(run)
  return 'started'
}
const rehearsed = (run) => {
  show.switch(run)
  return 'nothing was changed'
}
const retried = ({ tried, left }) => {
  shown = undefined
  return `${number.format(tried)} tried, ${number.format(left)} still set aside`
}

byId('pause').addEventListener('click', () => {
  const reason = prompt('Why? Everybody who looks here will read it.')
  if (reason) void command('replication/pause', { reason }, 'answer', paused)
})
byId('resume').addEventListener('click', () => void command('replication/resume', null, 'answer', paused))
byId('verify').addEventListener('click', () => void command('verify', {}, 'verify-answer', started))
byId('repair').addEventListener('click', () => {
  if (confirm('Rows that differ are transferred once more. Go on?'))
    void command('verify', { repair: true }, 'verify-answer', started)
})
byId('dry-run').addEventListener('click', () => {
  const path = byId('authority').textContent === 'postgres' ? 'rollback' : 'switchover'
  void command(path, { dry_run: true }, 'switch-answer', rehearsed)
})
byId('retry').addEventListener('click', () => void command('quarantine/retry', null, 'retry-answer', retried))
byId('login').addEventListener('submit', (event) => {
  event.preventDefault()
  sessionStorage.setItem('token', byId('token').value)
  location.reload()
})

for (;;) {
  await follow().catch((error) => connection(error.message, true))
  if (!byId('login').hidden) break
  await new Promise((resolve) => setTimeout(resolve, 2000))
  connection('not connected, trying again', true)
}
