using System.Security.Cryptography;

namespace DistTrain.Ingest.Tests;

/// <summary>An image in an array, between guard bytes that nothing may touch.</summary>
internal sealed class TestImage
{
    private const int Guard = 64;
    private const byte GuardValue = 0xa5;

    private readonly byte[] _memory;
    private readonly int _height, _width, _channels;

    public TestImage(int height, int width, int channels, byte[]? pixels = null)
    {
        (_height, _width, _channels) = (height, width, channels);
        _memory = new byte[(height * width * channels) + (2 * Guard)];
        _memory.AsSpan().Fill(GuardValue);
        if (pixels is null) View.Pixels.Clear();
        else pixels.CopyTo(View.Pixels);
    }

    public ImageView View => new(_memory.AsSpan(Guard, _memory.Length - (2 * Guard)), _height, _width, _channels);

    public byte[] Pixels
    {
        get
        {
            Assert.True(_memory.AsSpan(0, Guard).IndexOfAnyExcept(GuardValue) < 0, "bytes before the image were written");
            Assert.True(_memory.AsSpan(_memory.Length - Guard).IndexOfAnyExcept(GuardValue) < 0, "bytes behind the image were written");
            return View.Pixels.ToArray();
        }
    }

    public string Hash => Convert.ToHexStringLower(SHA256.HashData(Pixels));

    public static TestImage Noise(int height, int width, int channels, int seed)
    {
        byte[] pixels = new byte[height * width * channels];
        new Random(seed).NextBytes(pixels);
        return new TestImage(height, width, channels, pixels);
    }

    /// <summary>Soft shapes, as photographs have them: the same on every machine.</summary>
    public static TestImage Picture(int height, int width, int channels)
    {
        byte[] pixels = new byte[height * width * channels];
        for (int i = 0; i < pixels.Length; i++)
        {
            int channel = i % channels, x = i / channels % width, y = i / channels / width;
            pixels[i] = (byte)(40 + (x * 3) + (y * (channel + 1)) + (((x / 5) + (y / 7)) % 2 * 60) + ((x * y) % 11));
        }
        return new TestImage(height, width, channels, pixels);
    }
}
