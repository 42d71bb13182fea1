-- acquire all with a fencing token: take several locks, or none of them, and only
-- with a fence that is higher than every one seen beside any of them before.
-- KEYS for each lock: lock, fence
-- ARGV 1 token, 2 TTL in ms, 3 proposed fence, 4 the fence's TTL in ms,
--      5 how far in µs a proposal may be ahead of this server's clock,
--      and then for each lock a token that may give way to ours, or none at all
-- Replies {1} when all are taken, {0, holder, time left in ms, fence, which} of the first that is held,
-- {2, fence} when the proposal is not higher, {3, clock in µs} when it is too far ahead.
-- Refuses as WRONGTYPE a fence that is no number of ours, which have 16 digits at most: it is somebody else's.

-- What a key holds, and no more of it than a token can have, and one byte: it may be somebody else's, and huge.
local function value(key)
  local text = redis.pcall('GETRANGE', key, '0', '1024')
  if text == '' or type(text) == 'table' then -- nothing is there, or GETRANGE is not permitted
    return redis.call('GET', key)
  end
  return text
end

local highest, fences = '0', {}
for i = 1, #KEYS / 2 do
  local lock, holder = KEYS[2 * i - 1], value(KEYS[2 * i - 1])
  local fence = value(KEYS[2 * i]) or '0'
  if holder and holder ~= ARGV[1] and holder ~= ARGV[i + 5] then
    return {0, string.sub(holder, 1, 1025), redis.call('PTTL', lock), string.sub(fence, 1, 1025), i}
  end
  if #fence > 16 or not string.find(fence, '^%d+$') then -- nothing would ever be higher: somebody else's
    return redis.error_reply('WRONGTYPE the fence has a value that is no number of ours')
  end
  fences[i] = fence
  -- What our own lock has beside it is our number, from this very question, sent a second time.
  if holder ~= ARGV[1] and tonumber(fence) > tonumber(highest) then
    highest = fence
  end
end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
if tonumber(ARGV[3]) > now + tonumber(ARGV[5]) then
  return {3, string.format('%.0f', now)}
end
if tonumber(highest) >= tonumber(ARGV[3]) then
  return {2, highest}
end
for i, fence in ipairs(fences) do
  redis.call('SET', KEYS[2 * i - 1], ARGV[1], 'PX', ARGV[2])
  if tonumber(fence) < tonumber(ARGV[3]) then
    redis.call('SET', KEYS[2 * i], ARGV[3], 'PX', ARGV[4])
  end
end
return {1}
