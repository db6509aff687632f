-- One bucket as gcra.rs has it, in microseconds of the server's clock, so that replicas whose clocks
-- differ agree. KEYS[1] has "<committed> <promised>". A double is exact to a hundredth of a
-- microsecond when it counts from 2026.
local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1767225600) * 1000000 + tonumber(time[2])
local token, burst, grace = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local horizon, promised_max = tonumber(ARGV[4]), tonumber(ARGV[5])
local is_returning, horizon_max = ARGV[6] == '1', tonumber(ARGV[7])

local committed, promised = 0, 0
local word = redis.call('GET', KEYS[1])
if word then
  local c, p = string.match(word, '^(%S+) (%S+)$')
  committed, promised = tonumber(c), tonumber(p)
end
-- No call can have committed more than that. So the bucket is of other settings, or the clock was set
-- back: it is taken for an empty one, because what it owes nobody could wait for.
if committed > now + burst + horizon_max + 1 then
  committed, promised = now + burst, 0
end
if promised > 0 then
  local behind = now + (promised - 1) * token - committed - grace
  if behind >= 0 then promised = math.max(0, promised - math.floor(behind / token) - 1) end
end
committed = math.max(committed, now)

local function is_due(by)
  return promised > 0 and committed + by <= now + burst + (promised - 1) * token
end

local wait = math.ceil(committed + token - burst - now)
local verdict = 'admitted'
if is_returning and is_due(0) then
  promised = promised - 1
elseif wait <= 0 then
  committed = committed + token
elseif is_due(grace) then
  promised = promised - 1
elseif wait > horizon or promised >= promised_max then
  return {'beyond', wait}
else
  verdict = 'promised'
  committed = committed + token
  promised = promised + 1
end
-- From then on the bucket is as good as a new one.
local ttl_ms = math.ceil((committed - now + grace) / 1000) + 1
redis.call('SET', KEYS[1], string.format('%.3f %d', committed, promised), 'PX', ttl_ms)
return {verdict, wait}
