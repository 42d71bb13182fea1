-- acquire all and raise: take several locks, or none of them, and only with a
-- fence that is higher than every one seen in their cells of the table before.
-- KEYS locks, and then the table of fences
-- ARGV 1 token, 2 TTL in ms, 3 proposed fence, 4 how far in µs a proposal may be ahead of this server's clock,
--      then for each lock its cell's first byte in the table, and its last,
--      and then for each a token that may give way to ours, or none at all
-- Replies {1, clock} when all are taken, {0, clock, holder, time left in ms, fence, which} of the first that is held,
-- {2, clock, fence} when the proposal is not higher, {3, clock} when it is too far ahead. The clock is this server's, in µs.
-- Refuses as WRONGTYPE a cell that has no number of ours, which are all below 2^53: it is somebody else's.
-- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
local locks, tableKey = #KEYS - 1, KEYS[#KEYS]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local clock = string.format('%.0f', now)

local function fenceOf(i)
  local first, last = ARGV[3 + 2 * i], ARGV[4 + 2 * i]
  local text = redis.pcall('GETRANGE', tableKey, first, last)
  if type(text) == 'table' then -- GETRANGE is not permitted, or it is no table of ours
    text = string.sub(redis.call('GET', tableKey) or '', first + 1, last + 1)
  end
  local fence = 0
  for k = 1, 7 do -- the highest byte first; behind the end of the table there are zeros
    fence = fence * 256 + (string.byte(text, k) or 0)
  end
  return fence
end

local highest, fences = 0, {}
for i = 1, locks do
  local holder = redis.pcall('EXISTS', KEYS[i]) ~= 0 and redis.pcall('GETRANGE', KEYS[i], '0', '1024')
  if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
    holder = redis.call('GET', KEYS[i])
  end
  local fence = fenceOf(i)
  if holder and holder ~= ARGV[1] and holder ~= ARGV[4 + 2 * locks + i] then
    return {0, clock, string.sub(holder, 1, 1025), redis.call('PTTL', KEYS[i]), string.format('%.0f', fence), i}
  end
  if fence >= 9007199254740992 then
    return redis.error_reply('WRONGTYPE the table of fences has a value that is no number of ours')
  end
  fences[i] = fence
  if holder ~= ARGV[1] then -- else what is in its cell is our number, from this very question, sent a second time
    highest = math.max(highest, fence)
  end
end
if tonumber(ARGV[3]) > now + tonumber(ARGV[4]) then
  return {3, clock}
end
if highest >= tonumber(ARGV[3]) then
  return {2, clock, string.format('%.0f', highest)}
end
local ours, bytes = tonumber(ARGV[3]), {}
for k = 7, 1, -1 do
  bytes[k] = ours % 256
  ours = math.floor(ours / 256)
end
local cell = string.char(unpack(bytes))
for i = 1, locks do
  redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
  if fences[i] < tonumber(ARGV[3]) then
    redis.call('SETRANGE', tableKey, ARGV[3 + 2 * i], cell)
  end
end
return {1, clock}
