"""The 171 classes of COCO-Stuff 164k, from its labels.txt: 80 things, then 91 kinds of stuff."""

from __future__ import annotations

from paddleseg.data.datasets.standard import words

__all__ = ["CLASS_NAMES", "LABEL_IDS"]

_ABSENT = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)

LABEL_IDS: tuple[int, ...] = tuple(label for label in range(182) if label not in _ABSENT)
"""The id of each class in the official files; 11 ids of things have no pixels."""

CLASS_NAMES = words(
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant stop_sign "
    "parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella handbag "
    "tie suitcase frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard "
    "tennis_racket bottle wine_glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot "
    "hot_dog pizza donut cake chair couch potted_plant bed dining_table toilet tv laptop mouse remote "
    "keyboard cell_phone microwave oven toaster sink refrigerator book clock vase scissors teddy_bear "
    "hair_drier toothbrush banner blanket branch bridge building-other bush cabinet cage cardboard carpet "
    "ceiling-other ceiling-tile cloth clothes clouds counter cupboard curtain desk-stuff dirt door-stuff "
    "fence floor-marble floor-other floor-stone floor-tile floor-wood flower fog food-other fruit "
    "furniture-other grass gravel ground-other hill house leaves light mat metal mirror-stuff moss mountain "
    "mud napkin net paper pavement pillow plant-other plastic platform playingfield railing railroad river "
    "road rock roof rug salad sand sea shelf sky-other skyscraper snow solid-other stairs stone straw "
    "structural-other table tent textile-other towel tree vegetable wall-brick wall-concrete wall-other "
    "wall-panel wall-stone wall-tile wall-wood water-other waterdrops window-blind window-other wood"
)
