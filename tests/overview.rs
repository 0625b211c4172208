//! The picture: its proportions, its outlines, its colours.
use std::collections::HashSet;
use std::io::Cursor;

use ndarray::{Array3, s};
use tascan::Spacing;
use tascan::overview::{Picture, Scene};

const SHAPE: (usize, usize, usize) = (10, 20, 20);

fn picture(labels: &Array3<u32>, spacing: Option<Spacing>) -> Picture {
    let raw = Array3::from_shape_fn(labels.dim(), |(z, y, x)| (z + 2 * y + 3 * x) as f32);
    let classes = labels.mapv(|label| if label == 0 { 0 } else { 2 });
    Picture::of(&Scene { raw: raw.view(), classes: classes.view(), labels: labels.view(), spacing }).unwrap()
}

/// Decodes the PNG: height, width and its pixels as rows of colours.
fn decode(picture: &Picture) -> Vec<Vec<[u8; 3]>> {
    let file = picture.png().unwrap();
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!([info.height as usize, info.width as usize], picture.size());
    let pixels: Vec<[u8; 3]> = bytes.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect();
    pixels.chunks_exact(info.width as usize).map(<[_]>::to_vec).collect()
}

#[test]
fn voxel_size_gives_the_proportions() {
    let labels = Array3::ones(SHAPE);
    let [cubes, flat] =
        [None, Some(Spacing([4.0, 1.0, 1.0]))].map(|spacing| picture(&labels, spacing).size());
    // Rows of the picture: y, z, z. A plane of 20 columns is 400 wide; 4 gutters of 4 pixels.
    assert_eq!(cubes, [400 + 200 + 200 + 16, 3 * 400 + 16]);
    assert_eq!(flat, [400 + 800 + 800 + 16, 3 * 400 + 16]);
}

#[test]
fn outline_runs_between_two_cells_and_nowhere_else() {
    let mut labels = Array3::from_elem(SHAPE, 5);
    labels.slice_mut(s![.., .., 10..]).fill(9);
    let pixels = decode(&picture(&labels, None));
    let left = 4 + 2 * 404;
    // A row in the third panel of the first row, and of the second.
    for row in [200, 4 + 400 + 4 + 100] {
        let white: Vec<_> = (0..400).filter(|x| pixels[row][left + x] == [255; 3]).collect();
        assert_eq!(white, [199], "row {row}");
    }
}

#[test]
fn cells_have_colours_of_their_own_the_same_each_time() {
    let labels = Array3::from_shape_fn((1, 1, 20), |(_, _, x)| x as u32 + 1);
    let first = decode(&picture(&labels, None));
    assert_eq!(first, decode(&picture(&labels, None)));
    let middle_of = |cell: usize| first[4 + 10][4 + 2 * 404 + cell * 20 + 10];
    let colours: HashSet<_> = (0..20).map(middle_of).collect();
    assert_eq!(colours.len(), 20);
}

#[test]
fn arrays_of_unlike_shape_are_an_error() {
    let (raw, labels) = (Array3::zeros((2, 3, 4)), Array3::zeros((2, 3, 5)));
    let classes = Array3::zeros((2, 3, 4));
    let scene = Scene { raw: raw.view(), classes: classes.view(), labels: labels.view(), spacing: None };
    let message = Picture::of(&scene).err().unwrap().to_string();
    assert!(message.contains("(2, 3, 4)") && message.contains("(2, 3, 5)"), "{message}");
}
