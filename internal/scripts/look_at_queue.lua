-- look at queue: how many wait in the queue for a lock, and for how long the first of them has.
-- KEYS 1 lock, 2 order, 3 lives
-- Replies {how many places wait, for how many µs the first of them has}.
-- A holder that was served in the queue keeps its place, and does not wait: the name of the place is the end of its token.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local waiting = redis.call('ZCOUNT', KEYS[3], '(' .. now, '+inf')
if waiting == 0 then
  return {0, 0}
end
local holders = redis.pcall('GETRANGE', KEYS[1], '-10', '-1')
if type(holders) == 'table' then -- GETRANGE is not permitted
  holders = string.sub(redis.call('GET', KEYS[1]) or '', -10)
end
local function lives(place)
  local ends = redis.call('ZSCORE', KEYS[3], place)
  return ends and tonumber(ends) > now
end
if lives(holders) then
  waiting = waiting - 1
end
local from = 0
while waiting > 0 do
  local some = redis.call('ZRANGE', KEYS[2], from, from + 99, 'WITHSCORES')
  for i = 1, #some, 2 do
    if some[i] ~= holders and lives(some[i]) then
      return {waiting, math.max(0, tonumber(clock[1]) * 1000000 + tonumber(clock[2]) - tonumber(some[i + 1]))}
    end
  end
  if #some == 0 then -- the order has been lost
    break
  end
  from = from + 100
end
return {waiting, 0}
