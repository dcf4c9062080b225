namespace DistTrain.Kernels.Tests;

public sealed class ShapeTests
{
    [Fact]
    public void A_shape_counts_its_elements_and_a_scalar_has_one()
    {
        Assert.Equal(24, new Shape(2, 3, 4).ElementCount);
        Assert.Equal(1, default(Shape).ElementCount);
        Assert.Equal(0, new Shape(5, 0, 7).ElementCount);
        Assert.Equal(0, new Shape(int.MaxValue, int.MaxValue, int.MaxValue, 0).ElementCount);
        Assert.Equal(8, new Shape(1, 1, 1, 1, 1, 1, 1, 2).DimensionCount);
    }

    [Fact]
    public void Negative_dimensions_count_from_the_innermost()
    {
        Shape shape = new(2, 3, 4);

        Assert.Equal((2, 4, 4, 2), (shape[0], shape[2], shape[-1], shape[-3]));
        Assert.Equal("dimension 3 of the shape [2, 3, 4] (Parameter 'dimension')", Assert.Throws<ArgumentOutOfRangeException>(() => shape[3]).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => shape[-4]);
    }

    [Fact]
    public void Rows_are_all_but_the_last_dimension()
    {
        Assert.Equal((6L, 4), (new Shape(2, 3, 4).RowCount, new Shape(2, 3, 4).ColumnCount));
        Assert.Equal((1L, 1), (default(Shape).RowCount, default(Shape).ColumnCount));
        Assert.Equal((1L, 5), (new Shape(5).RowCount, new Shape(5).ColumnCount));
    }

    [Fact]
    public void Shapes_are_equal_by_their_extents()
    {
        Assert.True(new Shape(2, 3) == new Shape(2, 3));
        Assert.Equal(new Shape(2, 3).GetHashCode(), new Shape(2, 3).GetHashCode());
        Assert.True(new Shape(2, 3) != new Shape(3, 2));
        Assert.True(new Shape(2) != new Shape(2, 1));
        Assert.False(default(Shape).Equals(null));
        Assert.Equal("[2, 3]", new Shape(2, 3).ToString());
        Assert.Equal("[]", default(Shape).ToString());
    }

    [Fact]
    public void Impossible_extents_are_refused()
    {
        Assert.Equal("dimension 1 of a shape is -1, expected 0 or more", Assert.Throws<ArgumentException>(() => new Shape(2, -1)).Message);
        Assert.Equal("a shape has at most 8 dimensions, found 9", Assert.Throws<ArgumentException>(() => new Shape(1, 1, 1, 1, 1, 1, 1, 1, 1)).Message);
        Assert.Equal("a shape of [2147483647, 2147483647, 4] has more than 2^63 - 1 elements",
            Assert.Throws<ArgumentException>(() => new Shape(int.MaxValue, int.MaxValue, 4)).Message);
    }
}
