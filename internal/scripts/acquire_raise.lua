-- acquire and raise: take the lock unless somebody has it, and only with a fence
-- that is higher than every one seen in its cell of the table before.
-- KEYS 1 lock, 2 table of fences
-- ARGV 1 token, 2 TTL in ms, 3 proposed fence,
--      4 the highest fence that comes with the lock: the proposal, or what is reserved behind it,
--      5 the cell's first byte in the table, 6 its last,
--      7 how far in µs a proposal may be ahead of this server's clock
-- Replies {1, clock} when taken, {0, clock, holder, time left in ms, fence} when held, {2, clock, fence} when
-- the proposal is not higher, {3, clock} when it is too far ahead. The clock is this server's, in µs.
-- Refuses as WRONGTYPE a cell that has no number of ours, which are all below 2^53: it is somebody else's.
-- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
local holder = redis.pcall('EXISTS', KEYS[1]) ~= 0 and redis.pcall('GETRANGE', KEYS[1], '0', '1024')
if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
  holder = redis.call('GET', KEYS[1])
end
local text = redis.pcall('GETRANGE', KEYS[2], ARGV[5], ARGV[6])
if type(text) == 'table' then -- GETRANGE is not permitted, or it is no table of ours
  text = string.sub(redis.call('GET', KEYS[2]) or '', ARGV[5] + 1, ARGV[6] + 1)
end
local fence = 0
for i = 1, 7 do -- the highest byte first; behind the end of the table there are zeros
  fence = fence * 256 + (string.byte(text, i) or 0)
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local clock = string.format('%.0f', now)
if holder then
  return {0, clock, string.sub(holder, 1, 1025), redis.call('PTTL', KEYS[1]), string.format('%.0f', fence)}
end
if fence >= 9007199254740992 then
  return redis.error_reply('WRONGTYPE the table of fences has a value that is no number of ours')
end
if tonumber(ARGV[3]) > now + tonumber(ARGV[7]) then
  return {3, clock}
end
if fence >= tonumber(ARGV[3]) then
  return {2, clock, string.format('%.0f', fence)}
end
local highest, bytes = tonumber(ARGV[4]), {}
for i = 7, 1, -1 do
  bytes[i] = highest % 256
  highest = math.floor(highest / 256)
end
redis.call('SETRANGE', KEYS[2], ARGV[5], string.char(unpack(bytes)))
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, clock}
