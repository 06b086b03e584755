"""Pairs of queries that ask the same question, or different ones, in the judgement of a reader.

They are examples of kinds of spellings, easy and hard, in twenty languages. They are no sample of what
people search, so shares of errors on real queries differ. Pairs that the rules get wrong stay in the list.
"""

from __future__ import annotations

_SAME = """
berlin hotels | hotels berlin
cheap running shoes | running shoes cheap
running shoe | running shoes
best laptop 2026 | best laptops 2026
2026 best laptops | best laptops 2026
women's shoes | womens shoes
women’s running shoes | womens running shoes
dog's bed | dogs bed
don't look up cast | dont look up cast
what's my ip | whats my ip
t-shirt printing | t shirt printing
tshirt printing | t-shirt printing
t-shirts | t shirt
e-mail marketing | email marketing
e mail marketing | email marketing
e-bikes | ebike
x-ray machine | xray machine
wi-fi router | wifi router
wi fi router | wifi router
covid-19 symptoms | covid 19 symptoms
covid19 symptoms | covid 19 symptoms
iphone15 case | iphone 15 case
ps5 controller | ps 5 controller
mp3 player | mp 3 player
5kg dumbbells | 5 kg dumbbell
24/7 gym | gym 24/7
c++ tutorial | C++ tutorials
c# jobs | job c#
.net core hosting | hosting .net core
node.js tutorial | node js tutorial
booking.com | booking com
www.booking.com | booking.com
https://www.acme.com/ | acme.com
50% off shoes | 50 % off shoes
iphone vs samsung | samsung vs iphone
cats or dogs | dogs or cats
salt & pepper mill | salt pepper mill
h&m jeans | h & m jeans
"blue jacket" | blue jacket
best pizza near me? | best pizza near me
best pizza near me | near me best pizza
new york pizza | pizza new york
hotel paris, france | hotel paris france
self-catering cottages | self catering cottage
coffee machine / grinder | coffee machine grinder
café | cafe
boxes for moving | box for moving
moving boxes | moving box
bus tickets | bus ticket
classes yoga | yoga class
city breaks | city break
cities map | city map
movies | movie
wireless headphones | headphones wireless
glass table | table glass
dishes | dish
churches london | church london
viruses | virus
houses | house
games online | online game
car insurance quote | car insurance quotes
knife set kitchen | kitchen knife set
baby names | baby name
potato salad recipes | potato salad recipe
women shoes | shoes women
man cave ideas | man cave idea
children's books | childrens books
child's book | childs book
batteries | battery
heroes of history | hero of history
knives | knife
website design | web site design
every day carry | everyday carry
colour printer | color printer
organisation chart | organization chart
straße | strasse
straßenbahn berlin | berlin strassenbahn
hotel münchen | hotel munchen
münchen hotel | hotel münchen
mietwohnung köln | köln mietwohnung
wohnungen köln | wohnung köln
versicherungen vergleich | versicherung vergleich
kinder schuhe | kinder-schuhe
kinderschuhe | kinder schuhe
schuhe damen | damen schuhe
schuh | schuhe
lampen | lampe
autos gebraucht | gebrauchte autos
auto gebraucht | autos gebraucht
u-bahn plan | u bahn plan
1. fc köln | 1 fc koeln
1. fc köln tickets | 1.fc köln tickets
hausrat-versicherung | hausrat versicherung
zahnarzt hamburg | hamburg zahnarzt
rezept kuchen | kuchen rezept
handys | handy
crème brûlée | creme brulee
recette crème brûlée | creme brulee recette
c'est quoi le seo | c’est quoi le seo
l'eau de rose | l’eau de rose
cœur | coeur
œufs durs | oeuf dur
hôtels paris | hotel paris
paris hôtel | hotel paris
chaussures femme | chaussure femme
chaussure femme | femme chaussure
bateaux | bateau
jeux | jeu
chevaux | cheval
assurance-vie | assurance vie
école maternelle | ecole maternelle
niños juegos | juegos niños
zapatos mujer | zapatos de mujer
zapatos mujer baratos | zapatos baratos mujer
zapato mujer | zapatos mujer
españa mapa | mapa espana
habitación | habitaciones
camiones | camión
actividades | actividad
hoteles madrid | hotel madrid
hoteles madrid | madrid hoteles
¿qué es el iva? | que es el iva
ordenadores | ordenador
colchón | colchon
scarpe donna | donna scarpe
scarpe da donna | scarpe donna
citta | città
ricetta tiramisù | tiramisu ricetta
pizze | pizza
tênis feminino | tenis feminino
cidades | cidade
cidades brasil | brasil cidades
camisetas | camiseta
são paulo hotel | hotel sao paulo
schoenen dames | dames schoenen
auto's | autos
fietsen | fiets
łódź hotele | lodz hotele
łódź hotele | hotele łódź
köpenhamn hotell | hotell köpenhamn
smørrebrød | smorrebrod
København hotel | kobenhavn hotel
ISTANBUL OTEL | istanbul otel
ışık | isik
İzmir otel | izmir otel
αθήνα ξενοδοχεία | ξενοδοχεια αθηνα
ΑΘΗΝΑ | αθήνα
всё о собаках | все о собаках
ёлка купить | купить елка
отель москва | москва отель
東京 ホテル | ホテル 東京
ｉｐｈｏｎｅ ケース | iphone ケース
東京　ホテル | 東京 ホテル
서울 호텔 | 호텔 서울
فندق دبي | دبي فندق
đà nẵng khách sạn | khách sạn đà nẵng
can tho hotel | hotel can tho
best coffee maker 2026 | coffee maker best 2026
cheap flights | cheap flight
cheap hotels near airport | cheap hotel near airport
airport cheap hotels near | cheap hotels near airport
dentist near me | dentists near me
emergency plumber london | london emergency plumber
emergency plumbers london | london emergency plumber
london plumber emergency | emergency plumber london
men's watch | mens watches
men's t-shirts | mens t shirt
kid's bike | kids bike
girls' dresses | girls dresses
girls dress | girls dresses
wedding dress | wedding dresses
wedding-dress | wedding dress
long-distance running | long distance running
second-hand cars | second hand car
part-time jobs london | london part time jobs
mother-in-law gift | mother in law gift
blu-ray player | blu ray player
check-in time | check in time
all-inclusive holidays | all inclusive holiday
4-star hotels | 4 star hotel
two-bedroom flat | two bedroom flat
iphone 15 pro max case | case iphone 15 pro max
iphone15 pro max case | iphone 15 pro max cases
macbook air m2 | m2 macbook air
5g phones | phones 5g
4k tv | tv 4k
3d printer | 3d printers
a4 paper | paper a4
vitamin b12 tablets | tablets vitamin b12
b2b marketing | marketing b2b
windows11 download | windows 11 download
python3 tutorial | python 3 tutorial
100ml bottle | 100 ml bottles
10mm screws | 10 mm screw
1,5 liter | 1.5 liter
$50 voucher | 50$ voucher
100% cotton shirt | cotton shirt 100%
100% cotton | 100 % cotton
f# tutorial | tutorial f#
asp.net core | asp net core
vue.js vs react.js | react js vs vue js
react native vs flutter | flutter vs react native
what is seo? | what is seo
what is seo ? | what is seo
WHAT IS SEO | what is seo
what  is   seo | what is seo
 what is seo | what is seo
#seo tools | seo tool
seo tools! | seo tools
"seo tools" | seo tools
seo, tools | seo tools
seo / tools | seo tools
seo: tools | seo tools
seo - tools | seo tools
seo – tools | seo-tools
seo… tools | seo tools
running shoes® | running shoes
acme™ shoes | acme shoes
taxes | tax
tax boxes | tax box
watches | watch
matches today | match today
sandwiches | sandwich
brushes | brush
bonuses | bonus
campuses | campus
courses online | online course
licenses | license
horses | horse
roses | rose
shoes | shoe
cookies | cookie
stories | story
companies in berlin | company in berlin
parties | party
galleries | gallery
categories | category
keys | key
toys | toy
photos | photo
pianos | piano
hotels | hotel
hotels rome | rome hotel
sofas | sofa
pizzas | pizza
muenchen hotel | hotel münchen
koeln | köln
fuer kinder | für kinder
schoene wohnung | schöne wohnung
größe | groesse
grosse größen damen | damen grosse groessen
damenschuhe größe 38 | größe 38 damenschuhe
mitgliedschaften | mitgliedschaft
möglichkeiten | möglichkeit
reparaturen iphone | iphone reparaturen
elektriker notdienst berlin | notdienst elektriker berlin
bahn-card | bahn card
e-auto laden | e auto laden
feliz ano nuevo | feliz año nuevo
cuantos anos tiene messi | cuántos años tiene messi
como hacer pan | cómo hacer pan
decoración salón | decoracion salon
camisetas hombre | camiseta hombre
hombre camiseta | camiseta hombre
coches segunda mano madrid | segunda mano coches madrid
restaurante barcelona | restaurantes barcelona
traductores | traductor
universidades | universidad
opciones | opción
pantalones | pantalón
pingüino | pinguino
recettes faciles | recette facile
appartements à louer | appartement a louer
à vendre maison lyon | a vendre maison lyon
maison à vendre | maison a vendre
gâteaux | gateau
gâteau chocolat | gateaux chocolat
cadeau noël | cadeaux noel
élection présidentielle | election presidentielle
l'hôtel | l'hotel
ça c'est paris | ca c'est paris
perché | perche
caffè | caffe
lavatrici offerte | offerte lavatrici
televisão promoção | promocao televisao
promoção televisão | televisao promocao
computadores | computador
vélo électrique | velo electrique
vélos électriques | vélo électrique
kørekort | korekort
żółw | zolw
pogoda kraków | pogoda krakow
kraków pogoda | pogoda kraków
počasí praha | pocasi praha
şişli otel | sisli otel
ξενοδοχεία | ξενοδοχεια
погода москва | москва погода
iPhone 15 купить | купить iphone 15
大阪 天気 | 天気 大阪
ﾗｰﾒﾝ 東京 | ラーメン 東京
한국 여행 | 여행 한국
"""

_DIFFERENT = """
flights from berlin to paris | flights from paris to berlin
berlin to paris | paris to berlin
flight berlin paris | flight paris berlin
flug berlin paris | flug paris berlin
von berlin nach paris | von paris nach berlin
berlin nach paris | paris nach berlin
vol paris lyon | vol lyon paris
paris à lyon | lyon à paris
de madrid a barcelona | de barcelona a madrid
tren madrid barcelona | tren barcelona madrid
da roma a milano | da milano a roma
van amsterdam naar utrecht | van utrecht naar amsterdam
москва в казань | казань в москва
北京 到 上海 | 上海 到 北京
北京到上海 | 上海到北京
convert pdf to word | convert word to pdf
mp3 to mp4 | mp4 to mp3
inches to cm | cm to inches
cm in inches | inches in cm
100 eur in usd | 100 usd in eur
10 minus 5 | 5 minus 10
2 3 score | 3 2 score
2 bedroom flat 1 bathroom | 1 bedroom flat 2 bathroom
gift for mom from son | gift for son from mom
year of the dog | dog of the year
coffee without milk with sugar | coffee with milk without sugar
milk no sugar | sugar no milk
translate english to german | translate german to english
new | news
new york | news york
glass | glas
glasses | glass
reading glasses | reading glass
windows 10 | window 10
windows | window
short men | shorts men
custom | customs
good | goods
mean | means
arm | arms
van | vans
vans shoes | van shoes
lens | len
mars | mar
kurs | kur
hals | hal
cours de danse | cour de danse
fils | fil
temps | temp
dios | dio
martes | marte
recht | rechts
nicht | nichts
bus | bu
gas | ga
this | thi
paris | pari
status | statu
plus | plu
physics | physic
graphics card | graphic card
topics | topic of
plan | plane
car | care
star | stare
win | wine
cap | cape
hat | hate
not | note
site | sit
cloth | clothes
chef | cheffe kochen
kuchen | küche
kinder | kind
open | ope
garden | garde
buch | bücherei
c | c++
c++ | c#
c# | c
net | .net
s10 | s10+
18 | 18+
disney | disney+
50 off | 50% off
1.5 tb | 15 tb
3.5 mm | 35 mm
1/2 cup | 12 cup
24/7 | 247
16:9 | 169
10:30 | 1030
2/3 | 2 3
2+3 | 2-3
5 c in f | -5 c in f
jaguar car | jaguar -car
python == vs is | python != vs is
bash && | bash ||
$50 | 50
€50 | $50
iphone 14 | iphone 15
iphone 14 pro | iphone 14
2024 calendar | 2025 calendar
windows 10 office 11 | windows 11 office 10
new york new york | new york
duran duran | duran
every day | everyday
may be | maybe
a part | apart
a way | away
all ready | already
some time | sometime
black bird | blackbird store
under stand | understand
therapist | the rapist
man kind | mankind charity
shell | she'll
its cold | is cold
milk chocolate | chocolate milk
boat house | house boat
dog food | dog foot
best shoes | worst shoes
men shoes | women shoes
how to lose weight | how to gain weight
buy house | sell house
hotel with pool | hotel without pool
hotels berlin | hostels berlin
hotel berlin | motel berlin
affect | effect
desert | dessert
adapter | adopter
stationary | stationery
loose | lose
quiet | quite
angel | angle
chicken recipe | kitchen recipe
café | caffe
schon | schön
fordern | fördern
drucken | drücken
kirche | kirsche
wohnung mieten | wohnung vermieten
reisen | reis
reise | reis
hund | hunde kaufen
lehrer | lehrerin
messe | messer
tag | tage
ei | eis
maus | haus
uhr | ohr
seite | saite
mehr | meer
pêche | péché
côte | cote bourse
vert | verre
poisson | poison
dessert | désert
cheveux | chevaux
mur | mûre
sur | sous
année | ânes
père | paire
piso madrid | pisos alquiler madrid
año | ano
casar | cazar
comprar coche | vender coche
polvo | pulpo
caro | carro
pero | perro
hombre | hambre
cara | cera
pesca | pesche
casa | cassa
nono | nonno
pala | palla
capello | cappello
sete | sette
pão | pau
maan | man
bom | boom
zee | zeep
bot | boot
kat | kaart
pies | piesek
kot | kod
las | las vegas
мой | мои
кот | код
мука | мука рецепт
дом | дым
カキ | ガキ
はし | ばし
ハス | バス
病院 | 美容院
おばさん | おばあさん
호텔 | 모텔
밤 | 방
酒店 | 饭店 菜单
bàn | bạn
má | mà
ma | mạ
cơm | com
מלון | מילון
كتاب | كتب
हिन्दी | हिंदू
दिन | दीन
มา | ม้า
ไก่ | ไข่
πότε ανοίγει | πού ανοίγει
vitamin b12 | vitamin d12
a4 b5 | b4 a5
type a | type b
part 1 | part 2
u2 | 2u
h2o | ho2
marie curie | marie
mary | marie
1,5 | 15
café crème | café
apple store | apple stores near me
apple | apples to apples
mayor paris | mayor berlin
trump biden | biden
man bites dog | dog bites man
teacher student ratio | student teacher ratio
blue cheese | cheese
red bull | bull
the who | who
the the band | the band
s5 case | 5s case
pixel 4a | pixel a4
julie | july
messi ronaldo goals 10 | messi ronaldo goals 100
iso 9001 | iso 9010
1.2.3 | 12.3
no man | no men
best of berlin | berlin best off
us | use
it jobs | jobs
pena | peña
papa | papá
avô | avó
coco | cocô
"""


def _pairs(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.strip().splitlines() if " | " in line]
    return [(first, second) for first, _, second in (line.partition(" | ") for line in lines)]


SAME = _pairs(_SAME)
DIFFERENT = [*_pairs(_DIFFERENT), ("is || bash", "is && bash")]
