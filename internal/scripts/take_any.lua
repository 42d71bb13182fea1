-- take any: take some of several locks that are free, or none of them if too few are.
-- KEYS 1 bell, and then the locks, in the order in which they are wanted
-- ARGV 1 token, 2 TTL in ms, 3 how many are wanted, 4 for how many ms the bell hangs, 5 '1' if this may have been asked before
-- Replies {1, which of them, …} when they are taken, else {0, how many are free}. Then the bell is hung up: a key that goes
-- when one of the locks is given back, so that one who waits for any of them watches one key.
-- What is held by our own token was taken when this was asked before.
local locks, wanted = #KEYS - 1, tonumber(ARGV[3])
local free, again = {}, ARGV[5] == '1'
local held = redis.pcall('EXISTS', unpack(KEYS, 2))
if held ~= locks or again then -- or EXISTS is not permitted
  for i = 1, locks do
    local holder = redis.pcall('GETRANGE', KEYS[i + 1], '0', '1024')
    if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
      holder = redis.call('GET', KEYS[i + 1])
    end
    if again and holder == ARGV[1] then
      table.insert(free, 1, i)
    elseif not holder then
      free[#free + 1] = i
    end
    if #free >= wanted and not again then
      break
    end
  end
end
if #free < wanted then
  redis.call('SET', KEYS[1], 'taken', 'PX', ARGV[4])
  return {0, #free}
end
local reply = {1}
for n = 1, wanted do
  redis.call('SET', KEYS[free[n] + 1], ARGV[1], 'PX', ARGV[2])
  reply[n + 1] = free[n]
end
return reply
