"""Words that cannot stand for one another: opposites, and members of small closed groups."""

from __future__ import annotations

__all__ = ["OPPOSITES"]

# A line is a group: two questions that differ by words of two of its sides ask for different things. All words of one
# side mean the same here. What is left out is ambiguous in everyday questions: right (a right), light (a lamp), back,
# even, fine, kind.
_PAIRS = """
enable activate | disable deactivate
allow permit | ban forbid prohibit block
accept approve | reject decline refuse deny
include cover | exclude
increase raise | decrease reduce lower
upgrade | downgrade
add insert | remove delete
create | delete destroy
install | uninstall
start begin | stop end finish
pause suspend | resume restart
open | close
buy bought purchase | sell sold
lend lent | borrow
import | export
upload | download
send sent | receive
push | pull
win won | lose lost
pass | fail
deposit | withdraw
encrypt | decrypt
encode | decode
compress | decompress
connect | disconnect
attach | detach
expand | collapse
show | hide
lock | unlock
arrive arrival | depart departure
gain | lose
credit | debit
love | hate
merge | split
earn | spend
hire | fire
join | leave
employer | employee
landlord | tenant
buyer | seller
lender | borrower
sender | recipient receiver
teacher | student
doctor | patient
benefit advantage pro upside | drawback disadvantage con downside risk
cause | effect | symptom | treatment cure remedy
strength | weakness
asset | liability
profit | loss
income revenue | expense
input | output
inbound incoming | outbound outgoing
internal | external
interior | exterior
indoor | outdoor
domestic | international
import | export
online | offline
public | private
personal | business corporate commercial
manual | automatic
temporary | permanent
mandatory compulsory required | optional
maximum max | minimum min
most | least fewest
more | less fewer
best | worst
better | worse
good | bad
high highest | low lowest
higher | lower
big large bigger biggest largest | small smaller smallest
long longest longer | short shortest shorter
tall tallest | short shortest
old oldest older | young youngest younger new newest newer
early earlier earliest | late later latest
fast fastest faster quick | slow slowest slower
cheap cheapest cheaper | expensive dearest
easy easiest | difficult hard hardest
hot hottest hotter | cold coldest colder
warm | cool
wet | dry
strong strongest | weak weakest
rich richest | poor poorest
heavy heaviest | light lightest
thick | thin
wide | narrow
deep | shallow
full | empty
full | part
fulltime | parttime
within | after
abroad overseas | home
paper printed | online digital
positive | negative
true | false
legal lawful | illegal unlawful
safe | dangerous unsafe
spicy | mild
sweet | sour bitter savoury savory
raw | cooked
alive | dead
male man men boy | female woman women girl
husband | wife
mother mum mom | father dad
son | daughter
brother | sister
uncle | aunt
king | queen
adult | child children kid toddler baby
before | after
above | below
over | under
inside | outside
first | last
first | third
left | right
north northern | south southern | east eastern | west western
top | bottom
upper | lower
front | rear
ascending | descending
horizontal | vertical
gross | net
fixed | variable
single | double | triple
breakfast | lunch | dinner
daily | weekly | monthly | quarterly | annual annually yearly
debit | credit
electric electricity | petrol diesel gas
beef | chicken | pork | lamb | fish | vegetarian | vegan
cat kitten | dog puppy | rabbit | hamster
tea | coffee
red | blue | green | yellow | orange | purple | pink | black | white | brown | grey gray
mac macos | windows | linux | ubuntu
android | iphone ios
python | java | javascript | ruby | rust | golang | php | kotlin | swift
usd dollar | eur euro | gbp pound | jpy yen | inr rupee
switch on | switch off
log in | log out
sign in | sign out
check in | check out
opt in | opt out
clock in | clock out
lock in | lock out
zoom in | zoom out
phase in | phase out
fade in | fade out
move in | move out
go up | go down
borrow | return | renew
rise | fall
grow | shrink
undo | redo
clean | dirty
ahead | behind
upstairs | downstairs
buy | sell | rent
billing invoice | delivery shipping
pick | drop
building | content
home house | car motor vehicle | travel holiday | pet | life | health medical | dental
undergraduate | postgraduate master
primary | secondary
single | joint
single | return round
single | married
current checking | savings
cabin | hold
economy | business
visitor guest tourist | resident
new | existing
student | pensioner senior | apprentice
employee | freelancer contractor
tenant renter | homeowner
standard | express
free | pro premium | basic | enterprise
personal | shared
staging | production
development | production
read | write
frontend | backend
client | server
request | response
local | remote
kitchen | bathroom | bedroom
fridge | freezer | oven | dishwasher
pool | gym | spa | sauna | bar
laptop | phone | tablet
noon midday | midnight
sunrise | sunset
celsius | fahrenheit | kelvin
kilometre kilometer km | mile
kilogram kg kilo | lb | stone
visa | mastercard | amex | paypal
netflix | spotify | youtube
gmail | outlook | yahoo | hotmail
facebook | instagram | twitter | tiktok | snapchat | whatsapp | telegram | linkedin | reddit
chrome | firefox | safari
mysql | postgres postgresql | sqlite | mongodb | redis | oracle
react | vue | angular | svelte
aws | azure | gcp
npm | yarn | pnpm | pip | conda | cargo
excel | powerpoint
english | french | german | spanish | italian | portuguese | dutch | chinese mandarin | japanese | korean | arabic | \
hindi | russian | latin | thai | indian | mexican | greek
england | scotland | wales | ireland | france | germany | spain | italy | portugal | netherlands holland | belgium | \
switzerland | austria | poland | sweden | norway | denmark | finland | greece | turkey | russia | ukraine | \
usa america | canada | mexico | brazil | argentina | china | japan | korea | india | pakistan | australia | egypt | \
kenya | nigeria
london | paris | berlin | madrid | rome | dublin | amsterdam | vienna | moscow | tokyo | beijing | delhi | mumbai | \
sydney | toronto | boston | chicago | houston | dallas | denver | seattle | atlanta | miami
"""


_PARTICLES = (" in", " out", " on", " off", " up", " down")


def _groups() -> tuple[tuple[tuple[str, ...], ...], ...]:
    groups = []
    for line in _PAIRS.strip().splitlines():
        sides = [side.strip() for side in line.split("|")]
        groups.append(tuple((side,) if side.endswith(_PARTICLES) else tuple(side.split()) for side in sides))
    return tuple(groups)


OPPOSITES = _groups()
"""Groups of sides of words."""
