-- Forget what is in flight while nothing can be: what a destroyed entry left there would keep its
-- image from ever being added again.
-- KEYS  in flight, the streams that carry images, their due sets.   ARGV  number of streams.
-- Returns 1 done, 0 something is under way.
local in_flight = key()
local count = number()
for _ = 1, count do
  if redis.call('XLEN', key()) > 0 then return 0 end
end
for _ = 1, count do
  if redis.call('ZCARD', key()) > 0 then return 0 end
end
redis.call('UNLINK', in_flight)
return 1
