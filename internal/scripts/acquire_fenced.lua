-- acquire with a fencing token: take the lock unless somebody has it, and only
-- with a fence that is higher than every one seen here before.
-- KEYS 1 lock, 2 fence
-- ARGV 1 token, 2 TTL in ms, 3 proposed fence, 4 the fence's TTL in ms,
--      5 how far in µs a proposal may be ahead of this server's clock,
--      6 the highest fence that comes with the lock: the proposal, or what is reserved behind it
-- Replies {1} when taken, {0, holder, time left in ms, fence} when held,
-- {2, fence} when the proposal is not higher, {3, clock in µs} when it is too far ahead.
-- Refuses as WRONGTYPE a fence that is no number of ours, which have 16 digits at most: it is somebody else's.
-- A fence is stored as the string that came in: a Lua number would lose digits.

-- What a key holds, and no more of it than a token can have, and one byte: it may be somebody else's, and huge.
local function value(key)
  local text = redis.pcall('GETRANGE', key, '0', '1024')
  if text == '' or type(text) == 'table' then -- nothing is there, or GETRANGE is not permitted
    return redis.call('GET', key)
  end
  return text
end

local holder = redis.pcall('EXISTS', KEYS[1]) ~= 0 and value(KEYS[1])
local fence = value(KEYS[2])
-- The one lock in place that does not refuse us is our own, from this very
-- proposal, sent a second time. A token alone could be an earlier lease's.
local repeated = holder == ARGV[1] and fence == ARGV[6]
if holder and not repeated then
  return {0, string.sub(holder, 1, 1025), redis.call('PTTL', KEYS[1]), string.sub(fence or '0', 1, 1025)}
end
if fence and (#fence > 16 or not string.find(fence, '^%d+$')) then -- nothing would ever be higher: somebody else's
  return redis.error_reply('WRONGTYPE the fence has a value that is no number of ours')
end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
if tonumber(ARGV[3]) > now + tonumber(ARGV[5]) then
  return {3, string.format('%.0f', now)}
end
if fence and tonumber(fence) >= tonumber(ARGV[3]) and not repeated then
  return {2, string.sub(fence, 1, 1025)}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[6], 'PX', ARGV[4])
return {1}
